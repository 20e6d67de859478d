from __future__ import annotations

import pytest

from profiler.engines.model import Engine, EngineInfo
from profiler.engines.startlog import FIRST_PHASE, death_report, meaningful, phase, tail
from profiler.errors import EngineDied

LOG = """\
(APIServer pid=4) INFO 11-23 14:25:52 [api_utils.py:347]        █     █     █▄   ▄█
(EngineCore pid=5) INFO 11-23 14:26:13 [core.py:133] Initializing a V1 LLM engine (v0.32.0)
(Worker pid=6) INFO 11-23 14:26:25 [cpu_model_runner.py:68] Starting to load model /m/tiny...
(Worker pid=6) ERROR 11-23 14:26:26 [core.py:1] Traceback (most recent call last):
(Worker pid=6) ERROR 11-23 14:26:26 [core.py:1]   File "/x/y.py", line 1, in load
(Worker pid=6) ERROR 11-23 14:26:26 [core.py:1]     ^^^^^^^^^^^
(Worker pid=6) ERROR 11-23 14:26:26 [core.py:1] ValueError: the weights are of another shape
(APIServer pid=4) INFO 11-23 14:26:34 [launcher.py:195] Route: /health, Methods: GET
""".splitlines()


def test_the_phase_is_the_furthest_that_the_log_shows():
    assert phase([]) == FIRST_PHASE
    assert phase(LOG[:2]) == "starting the engine core"
    assert phase(LOG) == "loading weights"


def test_banners_routes_and_source_lines_are_not_shown():
    shown = "\n".join(meaningful(LOG))
    assert "█" not in shown
    assert "Route" not in shown
    assert "^^^" not in shown
    assert "ValueError: the weights are of another shape" in shown


def test_a_root_cause_far_above_is_shown_first():
    lines = [*LOG, *(f"INFO 11-23 14:26:40 [x.py:1] line {n}" for n in range(40))]
    shown = meaningful(lines)
    assert shown[0] == "ValueError: the weights are of another shape"
    assert len(shown) == 15


@pytest.mark.parametrize(
    ("what", "line", "words"),
    [
        ("died of SIGKILL", "", "out of memory"),
        ("died of SIGILL", "", "doctor"),
        ("exited with code 1", "torch.OutOfMemoryError: CUDA out of memory", "memory"),
        ("exited with code 1", "RuntimeError: No CUDA GPUs are available", "doctor"),
        ("exited with code 1", "huggingface_hub.errors.GatedRepoError: 401 Client Error", "HF_TOKEN"),
        ("exited with code 1", "/x/python: No module named 'vllm'", "--vllm-python"),
    ],
)
def test_known_deaths_come_with_a_remedy(what, line, words):
    assert words in death_report(what, [line])[1]


def test_an_unknown_death_has_no_made_up_remedy():
    assert death_report("exited with code 1", ["boom"])[1] is None


def test_the_tail_of_a_missing_log_is_empty(tmp_path):
    assert tail(tmp_path / "none", 5) == []


def test_the_tail_survives_bytes_that_are_no_text(tmp_path):
    (tmp_path / "log").write_bytes(b"a\n\xff\xfe\nb\n")
    assert tail(tmp_path / "log", 1) == ["b"]


class Dead:
    stopped = 0
    asked = 0

    def death(self):
        return "died of SIGKILL"

    def ask_to_stop(self):
        self.asked += 1

    def stop(self):
        self.stopped += 1


def test_an_engine_that_was_let_go_may_be_gone_and_is_still_to_be_closed(tmp_path):
    process = Dead()
    engine = Engine(EngineInfo("vllm", "1", "http://x/v1", "m", ("m",), managed=True), process=process)
    engine.release()
    engine.check()
    assert (process.asked, process.stopped) == (1, 0)
    engine.close()
    assert process.stopped == 1


def test_an_engine_that_died_raises_with_its_last_lines_until_it_is_closed(tmp_path):
    (tmp_path / "log").write_text("ValueError: no\n")
    info = EngineInfo("vllm", "1", "http://x/v1", "m", ("m",), managed=True)
    process = Dead()
    engine = Engine(info, process=process, log_path=tmp_path / "log")
    with pytest.raises(EngineDied) as caught:
        engine.check()
    assert "SIGKILL" in caught.value.message
    assert caught.value.details == "ValueError: no"
    engine.close()
    engine.check()
    assert process.stopped == 1
