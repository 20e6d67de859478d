"""Profile the latency of agent chains: record, explain, compare."""

__version__ = "0.1.0"
