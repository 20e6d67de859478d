"""Names and units are the conventions': held against OpenTelemetry's own package where that has them."""

from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from profiler.metrics import instruments as of


class Meter:
    """Keeps what it is told to create."""

    def create_histogram(self, name, unit, description):
        return name, unit


@pytest.mark.parametrize(
    ("instrument", "create"),
    [
        (of.OPERATION_DURATION, gen_ai_metrics.create_gen_ai_client_operation_duration),
        (of.FIRST_CHUNK, gen_ai_metrics.create_gen_ai_client_operation_time_to_first_chunk),
        (of.OUTPUT_CHUNK, gen_ai_metrics.create_gen_ai_client_operation_time_per_output_chunk),
        (of.TOKEN_USAGE, gen_ai_metrics.create_gen_ai_client_token_usage),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_name_and_unit_are_the_conventions(instrument, create):
    assert (instrument.name, instrument.unit) == create(Meter())


def test_boundaries_are_those_that_the_conventions_give():
    """As the page on metrics has them: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics."""
    seconds = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    for instrument in (of.OPERATION_DURATION, of.FIRST_CHUNK, of.OUTPUT_CHUNK, of.TOOL_DURATION):
        assert instrument.bounds == seconds
    assert of.AGENT_DURATION.bounds == (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
    assert of.TOKEN_USAGE.bounds == (
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
    )  # fmt: skip
    assert of.AGENT_CALLS.bounds == of.AGENT_TOOLS.bounds == (1, 2, 4, 8, 16, 32, 64, 128)


def test_no_two_have_one_name():
    assert len({each.name for each in of.ALL}) == len(of.ALL)
