from profiler.receive.forward import LONGEST_S, Forward

CHAIN = 7


class Clock:
    """What is to be done later, done when the time is moved on."""

    def __init__(self):
        self.now = 0.0
        self.due = []

    def later(self, seconds, call):
        self.due.append((self.now + seconds, call))

    def advance(self, seconds):
        until = self.now + seconds
        while self.due and min(at for at, _ in self.due) <= until:
            self.due.sort(key=lambda each: each[0])
            self.now, call = self.due.pop(0)
            call()
        self.now = until


class Bench:
    def __init__(self, asked=()):
        self.asked = set(asked)
        self.clock = Clock()
        self.offered = []
        self.forward = Forward(
            lambda spans, lines: self.offered.append((list(spans), list(lines))),
            self.asked.__contains__,
            self.clock.later,
        )

    def chain(self, *calls):
        self.forward.chain(CHAIN, ["a chain"], calls)
        self.forward.look(CHAIN)


def test_a_chain_whose_spans_are_all_there_is_handed_on_at_once():
    bench = Bench()
    bench.forward.chain(CHAIN, ["a chain"], [11])
    bench.forward.line(CHAIN, b"early", 1)
    bench.forward.look(CHAIN)
    assert bench.offered == [(["a chain"], [(b"early", 1)])]


def test_a_chain_waits_for_the_engine_s_last_span_and_goes_with_it():
    bench = Bench(asked={11})
    bench.chain(11, 12)
    bench.clock.advance(1.0)
    assert bench.offered == []
    bench.forward.line(CHAIN, b"late", 1)
    bench.asked.clear()
    bench.clock.advance(0.2)
    assert bench.offered == [(["a chain"], [(b"late", 1)])]
    bench.clock.advance(10)
    assert len(bench.offered) == 1
    assert bench.clock.due == []


def test_a_chain_waits_no_longer_than_a_limit_and_what_comes_then_goes_by_itself():
    bench = Bench(asked={11})
    bench.chain(11)
    bench.clock.advance(LONGEST_S + 0.2)
    assert bench.offered == [(["a chain"], [])]
    bench.forward.line(CHAIN, b"too late", 2)
    assert bench.offered[1:] == [([], [(b"too late", 2)])]
    assert bench.clock.due == []


def test_at_the_end_everything_is_handed_on_as_it_is():
    bench = Bench(asked={11})
    bench.chain(11)
    bench.forward.flush()
    assert bench.offered == [(["a chain"], [])]
    bench.clock.advance(10)
    assert len(bench.offered) == 1
