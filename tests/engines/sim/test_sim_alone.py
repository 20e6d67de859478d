"""Mode `independent`: each request goes as in a batch that has no other, at far less cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiler.engines.sim.alone import Alone
from profiler.engines.sim.batch import Batch
from profiler.engines.sim.profile import load_profile
from profiler.engines.sim.work import Progress, Work

PROFILE = load_profile("paced").model_copy(
    update={"per_context_token_us": 3.0, "per_prompt_token_us": 7.0, "tail_probability": 0.2, "tail_us": 900.0}
)
WORK = st.tuples(st.integers(1, 60), st.integers(1, 12), st.integers(0, 9), st.integers(0, 10**9))
WORKS = st.lists(WORK, max_size=6)


def planned(engine, works):
    """The tokens of these requests, and what became of each."""
    progress = {}
    for name, prompt, output, key, at_ns in works:
        progress[name] = Progress(arrival_ns=at_ns, queued_ns=at_ns + 5)
        engine.add(Work(name, tuple(range(prompt)), output, key), progress[name])
    tokens, held = [], []
    while (due_ns := engine.next_ns()) is not None:
        tokens += engine.advance(due_ns)
        engine.check()
        held.append((engine.running, engine.waiting, engine.blocks_used))
    return tokens, progress, held


@given(WORKS, st.integers(0, 3))
def test_a_request_goes_as_in_a_batch_of_its_own(drawn, seed):
    works = [(str(number), *each) for number, each in enumerate(drawn)]
    found, progress, _ = planned(Alone(PROFILE, seed), works)
    for work in works:
        profile = PROFILE.model_copy(update={"chunked_prefill": False, "prefix_caching": False})
        expected, alone, _ = planned(Batch(profile, seed), [work])
        assert [token for token in found if token.id == work[0]] == expected
        assert progress[work[0]] == alone[work[0]]
    assert [token.at_ns for token in found] == sorted(token.at_ns for token in found)


@given(WORK)
def test_a_single_request_holds_what_it_holds_in_a_batch(drawn):
    works = [("a", *drawn)]
    profile = PROFILE.model_copy(update={"chunked_prefill": False, "prefix_caching": False})
    assert planned(Alone(PROFILE, 0), works)[2] == planned(Batch(profile, 0), works)[2]


def test_what_is_cancelled_holds_nothing_and_gets_no_token():
    engine = Alone(PROFILE, 0)
    for name in ("a", "b"):
        engine.add(Work(name, (1, 2, 3), 5, key=1), Progress(arrival_ns=0, queued_ns=0))
    engine.advance(0)
    engine.cancel("a")
    engine.cancel("a")
    assert (engine.running, engine.blocks_used) == (1, 1)
    tokens = []
    while (due_ns := engine.next_ns()) is not None:
        tokens += engine.advance(due_ns)
    assert {token.id for token in tokens} == {"b"}
    assert (engine.running, engine.waiting, engine.blocks_used, engine.fullest) == (0, 0, 0, 0)
