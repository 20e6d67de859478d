"""Traces to and from other programs: Jaeger, files of other formats, OTLP collectors."""
