"""Chrome's trace events, by the rules that Perfetto and speedscope publish: slices nest, every event has a time."""

import json
import sys
from pathlib import Path

from hypothesis import given, settings

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))

from profiler import semconv as sc  # noqa: E402
from profiler.exchange.writing import perfetto  # noqa: E402
from traces import chain, item, traces  # noqa: E402


def events(*found):
    document = json.loads(b"".join(perfetto(found)))
    assert document["displayTimeUnit"] == "ms"
    return document["traceEvents"]


def slices(*found):
    return [event for event in events(*found) if event["ph"] == "X"]


def in_ns(number):
    return round(number * 1000)


@settings(max_examples=40, deadline=None)
@given(traces())
def test_slices_of_a_track_nest_and_every_span_has_one(items):
    found = events(items, chain())
    assert all({"ph", "ts", "pid", "tid", "name"} <= event.keys() for event in found)
    assert all(event["ph"] in ("M", "X") for event in found)
    drawn = [event for event in found if event["ph"] == "X"]
    assert len(drawn) == len(items) + 6
    tracks = {}
    for event in drawn:
        assert event["dur"] >= 0
        start = in_ns(event["ts"])
        tracks.setdefault((event["pid"], event["tid"]), []).append((start, start + in_ns(event["dur"])))
    for windows in tracks.values():
        above = []
        for start, end in windows:  # in the order of the file: by start, parents first
            while above and above[-1] <= start:
                above.pop()
            assert not above or end <= above[-1], "it begins within another and ends after it"
            if end > start:
                above.append(end)


def test_work_at_the_same_time_has_tracks_of_its_own():
    items = [item("root", 0, 10_000), item("a", 1_000, 6_000, "root"), item("b", 2_000, 7_000, "root")]
    items += [item("below b", 3_000, 4_000, "b"), item("c", 8_000, 9_000, "root")]
    found = {event["name"]: event["tid"] for event in slices(items)}
    assert found["root"] == found["a"] == found["c"] == 1
    assert found["b"] == found["below b"] == 2
    names = {event["tid"]: event["args"]["name"] for event in events(items) if event["name"] == "thread_name"}
    assert names == {1: "chain", 2: "at the same time 1"}


def test_a_track_is_used_again_when_it_is_free():
    items = [item("root", 0, 20_000), item("a", 0, 9_000, "root"), item("b", 1_000, 5_000, "root")]
    items += [item("c", 10_000, 15_000, "root"), item("d", 11_000, 14_000, "root")]
    assert {event["name"]: event["tid"] for event in slices(items)}["d"] == 2


def test_nanoseconds_are_decimals_and_times_count_from_the_first_start():
    found = {event["name"]: event for event in slices([item("root", 0, 10_001), item("a", 1_234, 5_678, "root")])}
    assert (found["root"]["ts"], found["root"]["dur"]) == (0, 10.001)
    assert (found["a"]["ts"], found["a"]["dur"]) == (1.234, 4.444)


def test_a_chain_is_a_process_with_its_task_and_slices_have_categories():
    found = events(chain())
    name = next(event["args"]["name"] for event in found if event["name"] == "process_name")
    assert name.startswith("t1 ")
    categories = {event["name"]: event["cat"] for event in found if event["ph"] == "X"}
    assert (categories["chat"], categories["chatp"], categories["tool"]) == ("call", "engine", "tool")


def test_arguments_are_what_one_can_read_and_failures_are_told():
    failed = item("root", 0, 10_000, **{sc.CHUNK_TIMES_US: [1, 2, 3], "a": "x" * 1000, "b": 1})
    failed = failed._replace(span=failed.span | {"status": {"code": 2, "message": "too late"}})
    found = slices([failed])[0]["args"]
    assert found["b"] == 1
    assert len(found["a"]) == 500
    assert found["error"] == "too late"
    assert sc.CHUNK_TIMES_US not in found


def test_times_count_from_the_runs_first_start_in_whatever_order_chains_come():
    later, earlier = [item("late", 9_000, 12_000)], [item("early", 0, 20_000)]
    origin_ns = earlier[0].start_ns
    document = json.loads(b"".join(perfetto([later, earlier], origin_ns)))
    assert [event["ts"] for event in document["traceEvents"] if event["ph"] == "X"] == [9, 0]
