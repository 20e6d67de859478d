"""`profiler run` against a loopback server: what works, and what is said when it does not."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time

import click
import pytest
from cli_helpers import PLAIN_AGENT, ROOT, start, wait_for_lines
from loopback import Behaviour, serve

from profiler.cli.run import complete_task
from profiler.cli.run import run as run_command
from profiler.store.reader import load_run


def test_a_run_reports_and_leaves_a_run_that_can_be_reported_again(bench):
    with serve() as (url, _):
        result = bench.run("run", bench.agent(), "--base-url", url, "--input", "a", "--input", "b", "--out", "out")
    assert result.code == 0
    assert "2 ended well, 0 failed, 1 for warm-up left out" in result.out
    assert "How delays compound: 100 ms more on every LLM call makes a chain 200 ms slower" in result.out
    again = bench.run("report", "out")
    assert again.out == result.out
    manifest = bench.manifest()
    assert manifest["status"] == "finished"
    assert manifest["spans"]["started"] == manifest["spans"]["written"] > 0


def test_json_has_the_same_figures_and_phases_that_sum_exactly(bench):
    with serve() as (url, _):
        result = bench.run(
            "run", bench.agent(), "--base-url", url, "--input", "a", "--repeat", "3", "--out", "out", "--format", "json"
        )
    report = json.loads(result.out)
    assert report["summary"]["chains"] == 3
    assert report["summary"]["joined_calls"] == report["summary"]["calls"] == 6
    phases = ("framework", "client", "queue", "prefill", "decode", "delivery", "tool", "retry", "unaccounted")
    for chain in report["chains"]:
        assert sum(chain[f"{phase}_ns"] for phase in phases) == chain["e2e_ns"]


def test_progress_is_a_line_per_chain_without_a_terminal(bench):
    with serve() as (url, _):
        result = bench.run("run", bench.agent(), "--base-url", url, "--input", "a", "--repeat", "2", "--out", "out")
    assert "[1/3] input-1 (warm-up): " in result.err
    assert "[3/3] input-1 #2: " in result.err


def test_concurrent_chains_of_a_blocking_agent_really_overlap(bench):
    with serve() as (url, _):
        bench.run(
            "run", bench.agent(), "--base-url", url, "--input", "a", "--repeat", "4", "--concurrency", "4",
            "--warmup", "0", "--out", "out",
        )  # fmt: skip
    traces = load_run(bench.folder / "out").traces
    assert len(traces) == 4
    first_end = min(trace.root.end_ns for trace in traces)
    assert sum(trace.root.start_ns < first_end for trace in traces) == 4


def test_a_recorded_script_replays_the_same_chains(bench):
    agent = bench.agent()
    with serve() as (url, does):
        first = bench.run(
            "run", agent, "--base-url", url, "--input", "a", "--out", "one", "--record-script", "said.json"
        )
        assert first.code == 0
        does.words = ("something", "else")
        second = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "two", "--script", "said.json")
    assert second.code == 0
    script = json.loads((bench.folder / "said.json").read_text())
    assert [call["content"] for call in script["tasks"]["input-1"]["calls"]] == ["one two three"] * 2
    counts = [
        [span.attributes["gen_ai.usage.output_tokens"] for trace in load_run(bench.folder / run).traces
         for span in trace.spans if span.is_call]
        for run in ("one", "two")
    ]  # fmt: skip
    assert counts[0] == counts[1]


def test_a_chain_that_raises_is_recorded_and_the_others_go_on(bench):
    agent = bench.agent(PLAIN_AGENT.replace("    return", "    assert task != 'bad', 'no idea'\n    return"))
    with serve() as (url, _):
        result = bench.run(
            "run", agent, "--base-url", url, "--input", "good", "--input", "bad", "--input", "fine",
            "--warmup", "0", "--out", "out",
        )  # fmt: skip
    assert result.code == 0
    assert "2 ended well, 1 failed" in result.out
    assert "1 x AssertionError at my_agent.py:8: no idea" in result.err
    (failure,) = bench.manifest()["failures"]
    assert (failure["task"], failure["where"]) == ("input-2", "my_agent.py:8")


def test_a_run_without_a_good_chain_has_exit_code_3(bench):
    with serve() as (url, _):
        result = bench.run(
            "run", bench.agent("def answer(task):\n    raise OSError('gone')\n"), "--base-url", url, "--input", "a",
            "--out", "out",
        )  # fmt: skip
    assert result.code == 3
    assert "no chain ended well" in result.err


def test_a_chain_past_its_timeout_fails_and_the_run_goes_on(bench):
    agent = bench.agent("import asyncio\nasync def answer(task):\n    await asyncio.sleep(0 if task == 'a' else 60)\n")
    with serve() as (url, _):
        result = bench.run(
            "run", agent, "--base-url", url, "--input", "slow", "--input", "a", "--timeout", "2",
            "--warmup", "0", "--out", "out",
        )  # fmt: skip
    assert result.code == 0
    assert "did not end within 2 s" in result.err


def test_an_agent_with_a_model_of_its_own_is_told_what_is_served(bench):
    agent = bench.agent("""
        import os, openai
        def answer(task):
            with openai.OpenAI(max_retries=0) as client:
                client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": task}])
        """)
    with serve() as (url, _):
        result = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "out")
    assert result.code == 3
    assert "served: test-model; let the agent take its model from OPENAI_MODEL" in result.err


def test_an_agent_with_an_address_of_its_own_is_told_where_the_engine_is(bench):
    agent = bench.agent("""
        import openai
        def answer(task):
            with openai.OpenAI(max_retries=0, base_url="http://127.0.0.1:9/v1", api_key="k") as client:
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": task}])
        """)
    with serve() as (url, _):
        result = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "out")
        assert f"the engine is at {url}" in result.err
    assert result.code == 3
    assert "OPENAI_BASE_URL" in result.err


def test_a_script_that_lacks_a_call_names_task_step_and_remedy(bench):
    script = {
        "format": "profiler-script",
        "version": 1,
        "tasks": {"input-1": {"calls": [{"place": "", "content": "x", "output_tokens": 2}]}},
    }
    with serve() as (url, _):
        result = bench.run(
            "run", bench.agent(), "--base-url", url, "--input", "a", "--script", bench.tasks(script, "s.json"),
            "--warmup", "0", "--out", "out",
        )  # fmt: skip
    assert result.code == 3
    assert "task 'input-1': the agent asked for call 2, the script has 1 there" in result.err
    assert "--record-script" in result.err
    assert bench.manifest()["chains"] == {"planned": 1, "finished": 1, "failed": 1, "warmup": 0}


def test_an_attached_engine_that_goes_away_ends_the_run_and_keeps_the_chains(bench):
    with serve() as (url, does):

        def go_away(number: int) -> None:
            if number == 4:
                does.cut_after = 0
                does.leave()

        does.on_call = go_away
        result = bench.run(
            "run", bench.agent(), "--base-url", url, "--input", "a", "--repeat", "30", "--warmup", "0", "--out", "out"
        )
    assert result.code == 4
    assert "does not answer any more" in result.err
    assert "1 ended well" in result.out
    assert bench.manifest()["status"] == "failed"


def test_an_attached_engine_that_fails_often_but_is_there_does_not_end_the_run(bench):
    with serve() as (url, does):
        does.cut_after = 0
        result = bench.run(
            "run", bench.agent(), "--base-url", url, "--input", "a", "--repeat", "5", "--warmup", "0", "--out", "out"
        )
    assert result.code == 3
    assert "0 ended well, 5 failed" in result.out


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("", "is empty"),
        ("not json", "is not JSON"),
        ('{"tasks": []}', "has no tasks"),
        ('{"tasks": [{"id": "a", "input": "x"}, {"id": "a", "input": "y"}]}', "ids twice: a"),
        ('{"tasks": [{"id": "a"}]}', "is not a tasks file: tasks.0.input"),
        ("[1, 2]", "is not a tasks file"),
    ],
)
def test_a_bad_tasks_file_has_exit_code_3_and_no_run_is_made(bench, tasks, message):
    result = bench.run("run", bench.agent(), "--tasks", bench.tasks(tasks), "--base-url", "http://127.0.0.1:1/v1")
    assert result.code == 3
    assert message in result.err
    assert not (bench.folder / "traces").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "Missing argument"),
        (["run", "none.py", "--input", "a"], 2, "does not exist"),
        (["run", "AGENT"], 2, "there are no tasks"),
        (["run", "AGENT", "--input", "a", "--backend", "nonesuch"], 2, "'nonesuch' is not"),
        (["run", "AGENT", "--input", "a", "--repeat", "0"], 2, "0 is not in the range"),
        (["run", "AGENT", "--input", "a", "--script", "x.json", "--no-script"], 2, "contradict"),
        (["run", "AGENT", "--input", "a", "--script", "x.json"], 3, "cannot read the script"),
        (["run", "AGENT", "--input", "a", "--api-key-env", "NO_SUCH_VARIABLE"], 2, "NO_SUCH_VARIABLE is empty"),
        (["run", "AGENT", "--input", "a", "--otlp-endpoint", "nonsense"], 2, "not an address"),
        (["run", "AGENT", "--tasks", "none.json"], 3, "cannot read the tasks file"),
        (["run", "AGENT", "--input", "a", "--record-script", "no/such/dir.json"], 2, "cannot write to no/such"),
        (["nonesuch"], 2, "No such command"),
        (["report", "none"], 3, "no run at none"),
    ],
)
def test_wrong_input_is_answered_by_code_and_message(bench, arguments, code, message):
    agent = bench.agent()
    result = bench.run(*[agent if argument == "AGENT" else argument for argument in arguments])
    assert result.code == code
    assert message in result.err


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Behaviour(require_key="right"), "401"),
        (Behaviour(models=("other-model",)), "other-model"),
    ],
)
def test_an_engine_that_will_not_serve_us_has_exit_code_4(bench, behaviour, message):
    with serve(behaviour) as (url, _):
        result = bench.run("run", bench.agent(), "--base-url", url, "--model", "test-model", "--input", "a")
    assert result.code == 4
    assert message in result.err


def test_an_engine_that_refuses_the_connection_has_exit_code_4(bench):
    result = bench.run("run", bench.agent(), "--base-url", "http://127.0.0.1:9/v1", "--input", "a")
    assert result.code == 4
    assert "127.0.0.1:9" in result.err
    assert not list(bench.folder.glob("traces/*")), "a run that never began leaves nothing"


def test_an_existing_run_is_never_overwritten(bench):
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "spans.jsonl").write_text("precious")
    result = bench.run("run", bench.agent(), "--base-url", "http://127.0.0.1:9", "--input", "a", "--out", "out")
    assert result.code == 2
    assert "will not be overwritten" in result.err
    assert (bench.folder / "out" / "spans.jsonl").read_text() == "precious"


def test_an_output_folder_that_cannot_be_made_is_told(bench):
    (bench.folder / "file").write_text("")
    result = bench.run("run", bench.agent(), "--base-url", "http://127.0.0.1:9", "--input", "a", "--out", "file/run")
    assert result.code == 2
    assert "cannot write to" in result.err


def test_a_key_reaches_the_engine_and_no_file(bench, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-top-secret-key")
    with serve(Behaviour(require_key="sk-top-secret-key")) as (url, _):
        result = bench.run(
            "run", bench.agent(), "--base-url", url, "--api-key-env", "MY_KEY", "--input", "a", "--out", "out"
        )
    assert result.code == 0
    written = b"".join(path.read_bytes() for path in (bench.folder / "out").iterdir())
    assert b"sk-top-secret-key" not in written
    assert "sk-top-secret-key" not in result.out + result.err


def test_a_full_disk_ends_the_run_and_keeps_what_was_written(bench):
    """A limit on file sizes stands in for the disk: the kernel's own refusal, at a known size."""
    bench.agent()
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000));"
        "from profiler.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    assert resource.RLIMIT_FSIZE
    with serve() as (url, _):
        done = subprocess.run(
            [sys.executable, "-c", code, "run", "my_agent.py", "--base-url", url, "--input", "a", "--repeat", "40",
             "--out", "out"],
            cwd=bench.folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "cannot write to" in done.stderr
    assert "Traceback" not in done.stderr
    kept = load_run(bench.folder / "out")
    assert len(kept.traces) > 1
    assert any("cut off" in note for note in kept.notes)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "interrupted")])
def test_an_interrupted_run_reports_what_there_is(bench, number, status):
    bench.agent()
    with serve() as (url, _):
        process = start(
            "run", "my_agent.py", "--base-url", url, "--input", "a", "--repeat", "100000", "--out", "out",
            cwd=bench.folder,
        )  # fmt: skip
        wait_for_lines(bench.folder / "out" / "spans.jsonl", 3)
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "the run was interrupted" in out
    assert bench.manifest()["status"] == status
    assert "Traceback" not in err


def test_an_interrupt_after_the_last_chain_ends_the_waiting_and_not_the_account(bench):
    bench.agent()
    with serve() as (url, _):
        process = start(
            "run", "my_agent.py", "--base-url", url, "--input", "a", "--engine-spans", "on", "--out", "out",
            cwd=bench.folder,
        )  # fmt: skip
        seen = ""
        while "for the engine's last spans" not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "the run was interrupted" in out
    manifest = bench.manifest()
    assert (manifest["status"], manifest["chains"]["finished"]) == ("interrupted", 1)
    assert manifest["engine_spans"]["joined"] == 0
    assert "Traceback" not in err


INTERRUPTED_AGENT = """
import pathlib, signal, time
def hold():
    pathlib.Path("asked").touch()
    while signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        time.sleep(0.01)
    pathlib.Path("told").touch()  # the first interrupt was taken, the next one ends it
    time.sleep(600)
"""


def interrupt_twice(process, folder):
    """The second when the first has been taken: two that wait to be are one."""
    for name in ("asked", "told"):
        deadline = time.monotonic() + 200
        while not (folder / name).exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)


def test_a_second_interrupt_ends_at_once(bench):
    """The first asks for an orderly end; an agent that does not let go cannot hold the second one up."""
    bench.agent(f"{INTERRUPTED_AGENT}def answer(task):\n    hold()\n")
    with serve() as (url, _):
        process = start("run", "my_agent.py", "--base-url", url, "--input", "a", "--out", "out", cwd=bench.folder)
        interrupt_twice(process, bench.folder)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_a_run_killed_in_mid_chain_keeps_every_finished_chain(bench):
    bench.agent()
    with serve() as (url, _):
        process = start(
            "run", "my_agent.py", "--base-url", url, "--input", "a", "--repeat", "100000", "--out", "out",
            cwd=bench.folder,
        )  # fmt: skip
        wait_for_lines(bench.folder / "out" / "spans.jsonl", 5)
        process.kill()
        process.communicate(timeout=300)
    finished = (bench.folder / "out" / "spans.jsonl").read_bytes().count(b"\n")
    assert len(load_run(bench.folder / "out").traces) == finished >= 5
    again = bench.run("report", "out")
    assert again.code == 0
    assert "was not ended properly" in again.out


def test_a_dead_collector_changes_nothing_but_is_told(bench):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serve() as (url, _):
        result = bench.run(
            "run", bench.agent(), "--base-url", url, "--input", "a", "--out", "out",
            "--otlp-endpoint", f"http://127.0.0.1:{port}",
        )  # fmt: skip
    assert result.code == 0
    assert "were not taken by" in result.err
    assert bench.manifest()["export"]["not_sent"] == bench.manifest()["spans"]["written"]


def test_calls_outside_any_chain_are_counted(bench):
    agent = bench.agent("""
        import os, threading, httpx2
        asked, called = threading.Event(), threading.Event()
        def call():
            asked.wait(200)
            body = {"model": os.environ["OPENAI_MODEL"], "messages": []}
            httpx2.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body)
            called.set()
        threading.Thread(target=call, daemon=True).start()
        def answer(task):
            asked.set()
            called.wait(200)
        """)
    with serve() as (url, _):
        result = bench.run("run", agent, "--base-url", url, "--input", "a", "--warmup", "0", "--out", "out")
    assert result.code == 0
    assert "1 LLM call came from outside any chain" in result.out


THREADED_AGENT = """
    import os, httpx2
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(4)
    def call(text):
        body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": text}], "stream": True}
        return httpx2.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
    def answer(task):
        list(pool.map(call, [task + "1", task + "2"]))
    """


def test_calls_from_an_agents_own_threads_belong_to_its_chain(bench):
    with serve() as (url, _):
        result = bench.run(
            "run", bench.agent(THREADED_AGENT), "--base-url", url, "--input", "a", "--input", "b", "--repeat", "3",
            "--concurrency", "2", "--warmup", "0", "--out", "out",
        )  # fmt: skip
    assert result.code == 0
    assert "outside any chain" not in result.out
    for trace in load_run(bench.folder / "out").traces:
        assert sum(span.is_call for span in trace.spans) == 2


def test_what_a_given_up_chain_left_running_does_not_reach_the_next(bench):
    agent = bench.agent("""
        import os, threading, httpx2
        second_runs, first_has_called = threading.Event(), threading.Event()
        def call():
            body = {"model": os.environ["OPENAI_MODEL"], "messages": []}
            return httpx2.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
        def answer(task):
            if task == "slow":  # given up, it goes on while the second runs
                second_runs.wait(200)
                try:
                    call()
                finally:
                    first_has_called.set()
            second_runs.set()
            first_has_called.wait(200)
            call()
        """)
    options = ["--input", "slow", "--input", "fast", "--warmup", "0"]
    with serve() as (url, does):
        process = start("run", agent, "--base-url", url, *options, "--timeout", "3", "--out", "out", cwd=bench.folder)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "1 ended well, 1 failed" in out
    assert len(does.requests) == 1, "the given-up chain's calls never left"
    assert bench.manifest()["spans"]["started"] == bench.manifest()["spans"]["written"] > 0


@pytest.mark.parametrize(
    ("raising", "kind"),
    [
        ("next(iter([]))", "RuntimeError"),
        ("raise KeyboardInterrupt", "RuntimeError"),
        ("raise BaseExceptionGroup('g', [SystemExit(1)])", "RuntimeError"),
        ("import asyncio; raise asyncio.CancelledError", "RuntimeError"),
    ],
)
def test_whatever_a_function_raises_fails_its_chain_at_once(bench, raising, kind):
    agent = bench.agent(f"def answer(task):\n    if task == 'bad':\n        {raising}\n")
    with serve() as (url, _):
        result = bench.run(
            "run", agent, "--base-url", url, "--input", "bad", "--input", "good", "--warmup", "0", "--out", "out"
        )
    assert result.code == 0
    assert f"1 x {kind}" in result.err


def test_an_agent_that_holds_the_loop_can_be_interrupted_twice(bench):
    bench.agent(f"{INTERRUPTED_AGENT}async def answer(task):\n    if task == 'hold':\n        hold()\n")
    with serve() as (url, _):
        process = start(
            "run", "my_agent.py", "--base-url", url, "--input", "a", "--input", "hold", "--warmup", "0", "--out", "out",
            cwd=bench.folder,
        )  # fmt: skip
        wait_for_lines(bench.folder / "out" / "spans.jsonl", 1)
        interrupt_twice(process, bench.folder)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "1 ended well" in out
    assert bench.manifest()["status"] == "interrupted"


def test_a_blocking_node_that_was_given_up_does_not_hold_the_end_up(bench):
    bench.agent("""
        import time
        from typing import TypedDict
        from langgraph.graph import START, StateGraph
        class S(TypedDict):
            messages: list
        def node(state):
            time.sleep(600)
            return {}
        graph = StateGraph(S)
        graph.add_node("node", node)
        graph.add_edge(START, "node")
        agent = graph.compile()
        """)
    with serve() as (url, _):
        process = start(
            "run", "my_agent.py", "--base-url", url, "--input", "a", "--timeout", "0.5", "--warmup", "0",
            "--out", "out", cwd=bench.folder,
        )  # fmt: skip
        _, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    assert "did not end within 0.5 s" in err


def test_an_exit_in_a_task_of_the_agents_fails_its_chain_and_nothing_else(bench):
    agent = bench.agent("""
        import asyncio, sys
        async def leave():
            sys.exit(3)
        async def answer(task):
            if task == "bad":
                await asyncio.create_task(leave())
        """)
    with serve() as (url, _):
        process = start(
            "run", agent, "--base-url", url, "--input", "bad", "--input", "good", "--warmup", "0", "--out", "out",
            cwd=bench.folder,
        )  # fmt: skip
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "1 ended well, 1 failed" in out
    assert bench.manifest()["status"] == "finished"


def test_an_agents_own_timeout_is_told_as_its_own(bench):
    agent = bench.agent("def answer(task):\n    if task == 'bad':\n        raise TimeoutError\n")
    with serve() as (url, _):
        result = bench.run(
            "run", agent, "--base-url", url, "--input", "bad", "--input", "good", "--warmup", "0", "--out", "out"
        )
    assert "1 x TimeoutError" in result.err
    assert "did not end within" not in result.err


def test_what_an_agent_prints_does_not_mix_with_the_report(bench):
    agent = bench.agent("print('at import')\ndef answer(task):\n    print('hello from the agent')\n")
    with serve() as (url, _):
        result = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "out", "--format", "json")
    assert json.loads(result.out)["summary"]["chains"] == 1


def test_an_agent_that_changes_the_folder_does_not_lose_the_run(bench):
    (bench.folder / "elsewhere").mkdir()
    agent = bench.agent("import os\ndef answer(task):\n    os.chdir('/')\n")
    with serve() as (url, _):
        result = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "out")
    assert result.code == 0
    assert bench.manifest()["status"] == "finished"


def test_two_runs_cannot_share_a_folder(bench):
    bench.agent("import time\ndef answer(task):\n    time.sleep(0.5)\n")
    with serve() as (url, _):
        both = [
            start("run", "my_agent.py", "--base-url", url, "--input", "a", "--out", "out", cwd=bench.folder)
            for _ in range(2)
        ]
        codes = sorted((process.communicate(timeout=300), process.returncode)[1] for process in both)
    assert codes == [0, 2]
    assert len(load_run(bench.folder / "out").traces) == 2


def test_a_closed_progress_pipe_does_not_end_the_run(bench):
    bench.agent()
    with serve() as (url, _):
        process = start(
            "run", "my_agent.py", "--base-url", url, "--input", "a", "--repeat", "20", "--out", "out", cwd=bench.folder
        )
        process.stderr.close()
        out = process.stdout.read()
        process.wait(200)
        process.stdout.close()
    assert "20 ended well" in out
    assert bench.manifest()["status"] == "finished"


def test_an_api_that_is_not_followed_is_told(bench):
    agent = bench.agent("""
        import os, httpx2
        def answer(task):
            base = os.environ["OPENAI_BASE_URL"]
            httpx2.post(base + "/embeddings", json={"model": "x"})
            body = {"model": os.environ["OPENAI_MODEL"], "messages": []}
            httpx2.post(base + "/chat/completions", json=body)
        """)
    with serve() as (url, _):
        result = bench.run("run", agent, "--base-url", url, "--input", "a", "--warmup", "0", "--out", "out")
    assert "1 request to an API that is not followed" in " ".join(result.out.split())


def test_a_task_is_completed_from_the_agents_tasks_file(bench):
    agent = bench.agent()
    bench.tasks({"tasks": [{"id": "alpha", "input": "x"}, {"id": "beta", "input": "y"}]}, "my_agent.tasks.json")
    context = click.Context(run_command)
    for params, start_of, found in [
        ({"agent": agent}, "al", ["alpha"]),
        ({"agent": agent, "tasks_path": None}, "", ["alpha", "beta"]),
        ({"agent": None}, "", []),
        ({}, "x", []),
        ({"agent": "none.py"}, "", []),
    ]:
        context.params = params
        assert complete_task(context, run_command.params[0], start_of) == found


def test_the_report_says_whether_the_trajectory_was_pinned(bench):
    agent = bench.agent()
    with serve() as (url, _):
        free = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "free")
        recorded = bench.run(
            "run", agent, "--base-url", url, "--input", "a", "--out", "rec", "--record-script", "my_agent.script.json"
        )
        pinned = bench.run("run", agent, "--base-url", url, "--input", "a", "--out", "pinned")
    assert "Trajectory  free" in free.out
    assert "it is replayed from now on" in recorded.err
    assert "replaying my_agent.script.json" in pinned.err.replace(str(bench.folder) + "/", "")
    assert "my_agent.script.json" in pinned.out


def test_an_agent_that_cannot_be_imported_leaves_nothing_of_the_engine_that_started_meanwhile(bench):
    agent = bench.agent("import no_such_module\n")
    result = bench.run("run", agent, "--backend", "sim", "--input", "a")
    assert result.code == 2
    assert "no_such_module" in result.err
    assert {path.name for path in bench.folder.iterdir()} - {"__pycache__"} == {"my_agent.py"}


def test_an_agent_that_swallows_its_cancellation_is_ended_by_the_timeout(bench):
    agent = bench.agent("""
        import asyncio
        async def answer(task):
            while True:
                try:
                    await asyncio.sleep(0.1)
                except asyncio.CancelledError:
                    pass
        """)
    with serve() as (url, _):
        process = start(
            "run", agent, "--base-url", url, "--input", "a", "--warmup", "0", "--timeout", "0.5", "--out", "out",
            cwd=bench.folder,
        )  # fmt: skip
        _, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    assert "did not end within 0.5 s" in err
    assert bench.manifest()["chains"]["failed"] == 1
