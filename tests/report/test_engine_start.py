import pytest
from report_inputs import manifest

from profiler.report.engine_start import loading_sentence, own_seconds, spans_sentence
from profiler.store.manifest import EngineSpans, LoadingSpan


def part(name, start, seconds, depth=0):
    return LoadingSpan(name=name, process="EngineCore", start_s=start, seconds=seconds, depth=depth)


# init     |--------------------------| 30
# core                |---------------|
# load                |------|
# warm up                    |--------|
START = [part("init", 0, 30), part("core", 10, 20, 1), part("load", 10, 8, 2), part("warm up", 18, 12, 2)]


def test_each_part_counts_without_what_is_inside_of_it():
    assert own_seconds(START) == [10, 0, 8, 12]
    assert sum(own_seconds(START)) == 30


def test_parts_of_two_processes_at_once_are_both_whole():
    assert own_seconds([part("one", 0, 5), part("two", 1, 3)]) == [5, 3]


def test_the_longest_parts_are_told_first_and_what_is_left_out_is_counted():
    run = manifest(loading=START, engine={"name": "vllm", "startup_s": 35.0})
    assert loading_sentence(run) == (
        "ready after 35.0 s, of which 30.0 s in its own spans: warm up 12.0 s, init 10.0 s, load 8.00 s, core 0 "
        "(each without what is inside of it)"
    )
    many = manifest(loading=[part(f"p{number}", number, 1) for number in range(9)], engine={"name": "vllm"})
    assert "and 4 more (each" in loading_sentence(many)
    assert not loading_sentence(many).startswith("ready")


def test_an_engine_that_told_nothing_has_no_line():
    assert loading_sentence(manifest()) is None
    assert spans_sentence(None) is None


@pytest.mark.parametrize(
    ("requests", "numbers", "said"),
    [
        ({"http": 3}, 7, "7 kept, of 7 of 7 calls, over HTTP"),
        ({}, 0, "0 kept, of 0 of 0 calls"),
        ({"http": 1, "grpc": 1}, 2, "2 kept, of 2 of 2 calls, over gRPC and HTTP"),
    ],
)
def test_how_many_spans_the_run_has(requests, numbers, said):
    spans = EngineSpans(endpoint="x", requests=requests, kept=numbers, calls=numbers, joined=numbers)
    assert spans_sentence(spans) == said


def test_names_are_text_whatever_stands_in_them():
    assert "\x1b" not in loading_sentence(manifest(loading=[part("\x1b[31mred" + "x" * 500, 0, 1)]))
