"""What is told and what is not."""

from __future__ import annotations

from made import MS, call, found_in, gap, kinds, tables

from profiler.analysis.findings.inquiry import Inquiry
from profiler.analysis.measured import Measured
from profiler.analysis.prefixes import Prompts


def model(ms=98):
    return call(decode=ms, input_tokens=100, cached_tokens=100, output_tokens=10)


def inquiry(chains=20):
    measured = Measured.of(tables(*[[model(100)]] * chains))
    return Inquiry(measured, None, Prompts.of(measured))


def test_below_two_percent_of_a_chain_nothing_is_told():
    assert kinds(found_in(tables(*[[model(100), gap(1.9)]] * 20)))[:1] == ["decode-bound"]
    assert kinds(found_in(tables(*[[model(100), gap(2.2)]] * 20)))[:1] == ["framework-time"]


def test_what_one_chain_of_many_loses_may_be_chance():
    one = inquiry()
    gains = one.measured.e2e_ns * 0
    gains[3] = 90 * MS
    assert one.gain(gains) is None  # 4.5% of the mean chain, and all of it in one
    gains[:] = 0
    gains[:8] = 50 * MS
    assert (one.gain(gains).ns, one.gain(gains).chains) == (20 * MS, 0.4)


def test_a_gain_that_is_as_often_a_loss_is_none():
    one = inquiry()
    gains = one.measured.e2e_ns * 0 + 10 * MS
    gains[::2] = -5 * MS
    assert one.gain(gains) is None


def test_of_a_single_chain_the_share_decides():
    one = inquiry(chains=1)
    assert one.gain(one.measured.e2e_ns * 0 + 5 * MS).ns == 5 * MS


def test_findings_are_ranked_by_gain_and_those_without_come_last():
    parts = [model(400), gap(30, owner="step a"), gap(80, owner="step b")]
    findings = found_in(tables(*[parts] * 10))
    assert [each.where for each in findings] == ["node b", "node a", ""]
    assert findings[-1].gain_ns is None


def test_failed_and_warm_up_chains_are_in_no_finding():
    slow = [model(), gap(5000)]
    made = tables(*[[model()]] * 5, {"parts": slow, "failed": True}, {"parts": slow, "warmup": True})
    assert kinds(found_in(made)) == ["decode-bound"]


def test_no_chain_has_no_finding():
    assert found_in(tables()) == ()
    assert found_in(tables({"parts": [model()], "failed": True})) == ()
