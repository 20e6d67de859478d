"""Takes the spans that an engine sends while a run goes on: OTLP over gRPC and HTTP, on one port, in its own thread.

    engine --OTLP--> door --> over_http | over_grpc --> content --> intake --> the run's spans.jsonl

Whoever connects is not trusted: sizes are bounded, and nothing that is sent can fail or hold up the run.
"""
