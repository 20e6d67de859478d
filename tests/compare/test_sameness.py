"""Runs that differ in more than what was changed are told apart, each difference by its kind."""

import pytest
from compare_inputs import manifest

from profiler.compare.sameness import KINDS, differences, refused

ENGINE = {"name": "vllm", "version": "0.32", "device": "cpu", "model": "tiny", "managed": True}
HOST = {"cpu": "EPYC", "cores": 2, "memory_bytes": 25_276_063_744, "gpu": [], "platform": "Linux-6.1"}
TASKS = (["a", "b"], ["a", "b"])


def run(**changes):
    return manifest(**{"engine": ENGINE, "host": HOST, "script": {"sha256": "1" * 64}, **changes})


def kinds(one, other, tasks=TASKS):
    return [(each.kind, each.what) for each in differences(one, other, tasks)]


def test_runs_alike_have_no_difference():
    assert kinds(run(), run()) == []


@pytest.mark.parametrize(
    ("changes", "kind", "what"),
    [
        ({"agent": {"name": "other"}}, "agent", "agent"),
        ({"script": None}, "script", "trajectory"),
        ({"script": {"sha256": "2" * 64}}, "script", "trajectory"),
        ({"engine": {**ENGINE, "model": "large"}}, "model", "model"),
        ({"engine": {**ENGINE, "name": "tgi"}}, "engine", "engine"),
        ({"engine": {**ENGINE, "version": "0.33"}}, "engine", "engine version"),
        ({"engine": {**ENGINE, "device": "cuda"}}, "engine", "device"),
        ({"flags": {"concurrency": 8}}, "flags", "--concurrency"),
        ({"flags": {"concurrency": 1, "shared_cache": True}}, "flags", "--shared-cache"),
        ({"host": {**HOST, "cpu": "Xeon"}}, "host", "processor"),
        ({"host": {**HOST, "cores": 4}}, "host", "cores"),
        ({"host": {**HOST, "memory_bytes": 50_000_000_000}}, "host", "memory"),
        ({"host": {**HOST, "gpu": ["H100"]}}, "host", "GPUs"),
        ({"profiler": "0.2.0"}, "profiler", "profiler"),
    ],
)
def test_what_may_explain_a_difference_by_itself_blocks(changes, kind, what):
    found = differences(run(), run(**changes), TASKS)
    assert [(each.kind, each.what) for each in found] == [(kind, what)]
    assert refused(found, ()) == found
    assert refused(found, [kind]) == ()
    assert refused(found, set(KINDS) - {kind}) == found


def test_versions_of_libraries_and_the_commit_are_told_and_do_not_block():
    one = run(libraries={"langgraph": "1.2"}, git={"commit": "a" * 40, "dirty": False})
    other = run(libraries={"langgraph": "1.3"}, git={"commit": "b" * 40, "dirty": True})
    found = differences(one, other, TASKS)
    assert [(each.what, each.base, each.candidate) for each in found] == [
        ("langgraph", "1.2", "1.3"),
        ("commit", "a" * 12, f"{'b' * 12} with changes"),
    ]
    assert refused(found, ()) == ()


def test_what_blocks_is_named_first():
    found = differences(run(python="3.11"), run(python="3.12", host={**HOST, "cores": 4}), TASKS)
    assert [each.what for each in found] == ["cores", "python"]


def test_a_little_less_memory_is_the_same_machine():
    assert kinds(run(), run(host={**HOST, "memory_bytes": 25_100_000_000})) == []


def test_engine_flags_are_compared_without_what_differs_from_start_to_start():
    command = ["/a/python", "-m", "vllm", "--model", "/x/tiny", "--port", "1234", "--seed", "0"]
    other = ["/b/python", "-m", "vllm", "--model", "/y/tiny", "--port", "4321", "--seed", "0"]
    assert kinds(run(engine={**ENGINE, "command": command}), run(engine={**ENGINE, "command": other})) == []
    other += ["--enable-chunked-prefill", "--max-num-seqs=64"]
    found = differences(run(engine={**ENGINE, "command": command}), run(engine={**ENGINE, "command": other}), TASKS)
    assert [(each.kind, each.what, each.base, each.candidate) for each in found] == [
        ("flags", "engine flag --enable-chunked-prefill", "not there", "on"),
        ("flags", "engine flag --max-num-seqs", "not there", "64"),
    ]


def test_a_flag_that_is_given_twice_has_both_values():
    one, other = (
        run(engine={**ENGINE, "command": ["sim", "--trait", first, "--trait", "crlf"]}) for first in ("join=2", "split")
    )
    (found,) = differences(one, other, TASKS)
    assert (found.base, found.candidate) == ("join=2, crlf", "split, crlf")


def test_the_address_counts_for_an_engine_that_somebody_else_runs():
    attached = [{**ENGINE, "managed": False, "base_url": f"http://box-{number}:8000/v1"} for number in (1, 2)]
    assert kinds(*(run(engine=engine) for engine in attached)) == [("engine", "address")]
    managed = [{**ENGINE, "base_url": f"http://127.0.0.1:{port}/v1"} for port in (1, 2)]
    assert kinds(*(run(engine=engine) for engine in managed)) == []


def test_tasks_that_only_one_has_are_named():
    (found,) = differences(run(), run(), (["a", "b", "c", "d", "e"], ["a", "x"]))
    assert (found.kind, found.base, found.candidate) == ("tasks", "b, c, d and 1 more", "x")


def test_a_task_that_asks_something_else_under_the_same_name_is_another_task():
    one, other = (run(tasks={"digests": {"a": digest, "b": "same"}}) for digest in ("one", "other"))
    assert kinds(one, other) == [("tasks", "what is asked in a:")]


def test_spans_without_a_manifest_tell_nothing():
    assert kinds(None, run()) == [("unknown", "engine, machine and script")]
    assert kinds(None, None) == [("unknown", "engine, machine and script")]
