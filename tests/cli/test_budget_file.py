"""The file of limits and margins: what it may say, and what each slip is told."""

import pytest

from profiler.cli.budget_file import load_budgets
from profiler.compare.budgets import Limit, Margin, Selection
from profiler.compare.vocabulary import margin_metrics, metric_lines, metrics
from profiler.errors import UsageError


@pytest.fixture
def load(tmp_path):
    def of(text, name="profiler.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_budgets(path)

    return of


def limit(**entry):
    return "[[check.limit]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in entry.items())


def margin(**entry):
    return limit(**entry).replace("check.limit", "check.margin")


def _toml(value):
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


@pytest.mark.parametrize(
    ("metric", "given", "value"),
    [
        ("chain_time.p95", "4 s", 4e9),
        ("ttft.p99", "300ms", 3e8),
        ("prefill.p50", "1.5 min", 90e9),
        ("tpot.max", "20 us", 2e4),
        ("framework.p90", "7 ns", 7.0),
        ("llm_calls.max", 6, 6.0),
        ("tools.mean", "2.5", 2.5),
        ("cache_hits", "80%", 0.8),
        ("failed_chains", 0.05, 0.05),
        ("failed_chains", 1, 1.0),
        ("failed_chains", 0, 0.0),
    ],
)
def test_bounds_are_in_the_unit_of_their_metric(load, metric, given, value):
    (found,) = load(limit(metric=metric, max=given)).limits
    assert found == Limit(metric, at_most=pytest.approx(value))


@pytest.mark.parametrize("metric", metrics())
def test_every_metric_of_limits_can_be_written(load, metric):
    bound = "1 s" if metric.rpartition(".")[2].startswith("p") or "time" in metric else 1
    try:
        assert load(limit(metric=metric, max=bound)).limits
    except UsageError:  # the largest of a time
        assert load(limit(metric=metric, max="1 s")).limits


@pytest.mark.parametrize(
    ("metric", "given", "value"),
    [
        ("chain_time", {"slower": "5%"}, 0.05),
        ("chain_time.p95", {"slower": "10%"}, 0.1),
        ("queue", {"slower": "200%"}, 2.0),
        ("ttft", {"slower": 0.05}, 0.05),
        ("prompt_tokens", {"more": "2%"}, 0.02),
        ("prompt_tokens", {"slower": "2%"}, 0.02),
        ("cache_hits", {"fewer": "5 points"}, 0.05),
        ("cache_hits", {"fewer": "1 point"}, 0.01),
        ("failed_chains", {"more": "2.5pp"}, 0.025),
    ],
)
def test_margins_are_relative_and_those_of_shares_are_points(load, metric, given, value):
    (found,) = load(margin(metric=metric, **given)).margins
    assert found == Margin(metric, pytest.approx(value), primary=True)


def test_every_metric_of_margins_can_be_written(load):
    for metric in margin_metrics():
        given = {"cache_hits": {"fewer": "1 point"}, "failed_chains": {"more": "1 point"}}.get(metric, {"slower": "1%"})
        assert load(margin(metric=metric, **given)).margins


def test_the_help_lists_every_metric():
    limits, margins = "\n".join(metric_lines()).split("Metrics of margins")
    for name in metrics():
        assert set(name.split(".")) <= set(limits.replace(".", " ").split())
    phases = limits.split("\n")[2].split()
    for name in margin_metrics():
        assert name.partition(".")[0] in {*margins.replace(".", " ").split(), *phases}


def test_whose_chains_they_are_of_is_by_task_tag_and_agent(load):
    found = load(
        limit(metric="steps.max", max=4, tasks="car-*", tags="slow")
        + margin(metric="steps", more="0%", agents="react*", primary=True)
        + margin(metric="ttft", slower="5%", agents="plan*", primary=True)
    )
    assert found.limits[0].of == Selection("car-*", "slow")
    assert [each.of for each in found.margins] == [Selection(agents="react*"), Selection(agents="plan*")]


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        # names
        (limit(metric="chain_time", max="4 s"), "no metric 'chain_time'", "it is chain_time.p50, chain_time.p90, "),
        (limit(metric="ttft.p97", max="4 s"), "no metric 'ttft.p97'", "ttft.p99 or ttft.max"),
        (limit(metric="cache_hits.p95", min="80%"), "no metric 'cache_hits.p95'", "it is cache_hits"),
        (limit(metric="latency.p95", max="4 s"), "no metric 'latency.p95'", ""),
        (limit(metric="xyzzy", max="4 s"), "no metric 'xyzzy'", "there are: chain_time, time_per_step, framework, "),
        (margin(metric="ttft.p95", slower="5%"), "no margin on 'ttft.p95'", "it is ttft, without a quantile"),
        (margin(metric="chain_time.p97", slower="5%"), "no margin on", "it is chain_time, chain_time.p50, "),
        (margin(metric="prefil", slower="5%"), "no margin on 'prefil'", "did you mean prefill"),
        (margin(metric="failed_calls", more="5%"), "no margin on 'failed_calls'", "did you mean failed_chains"),
        (limit(metric="steps.max", maximum=4), "limit.0.maximum", "did you mean max?"),
        (margin(metric="steps", mor="5%"), "margin.0.mor", "did you mean more?"),
        (margin(metric="steps", more="5%", tag="x"), "margin.0.tag", "did you mean tags?"),
        ("[check]\ncannot_tel = 'fail'\n", "cannot_tel", "did you mean cannot-tell?"),
        # units and numbers
        (limit(metric="ttft.p50", max="3 MS"), "has the unit 'MS'", "ms"),
        (limit(metric="ttft.p50", max="3 minutes"), "has the unit 'minutes'", "min"),
        (limit(metric="ttft.p50", max=300), "has no unit", "there are: ns, us"),
        (limit(metric="ttft.p50", max="-3 ms"), "is no bound", "not negative"),
        (limit(metric="llm_calls.max", max="6 calls"), "is a number", "such as max = 6"),
        (limit(metric="cache_hits", min="-5%"), "is not from 0% to 100%", ""),
        (limit(metric="cache_hits", min=80), "is not from 0% to 100%", "write it with %"),
        (margin(metric="ttft", slower="-5%"), "is not from 0% to 1000%", ""),
        (margin(metric="ttft", slower=5), "is not from 0% to 1000%", "write it with %"),
        (margin(metric="ttft", slower="5 ms"), "is a share, not '5 ms'", 'such as "5%"'),
        (margin(metric="ttft", slower="nan%"), "is not from 0%", ""),
        (margin(metric="cache_hits", fewer="5%"), "may mean two things", '"5 points" is from 80% to 75%'),
        (margin(metric="cache_hits", fewer="x points"), "is not a number of points", ""),
        (margin(metric="cache_hits", fewer="-5 points"), "is not from 0 to 100 points", ""),
        (margin(metric="cache_hits", fewer="120 points"), "is not from 0 to 100 points", ""),
        # which way is worse
        (margin(metric="cache_hits", slower="5 points"), "has no 'slower': worse is less", 'fewer = "5 points"'),
        (margin(metric="cache_hits", more="5 points"), "has no 'more': worse is less", 'fewer = "5 points"'),
        (margin(metric="steps", fewer="5%"), "has no 'fewer': worse is more", 'more = "5%"'),
        (margin(metric="failed_chains", slower="5 points"), "has no 'slower': worse is more", 'more = "5 points"'),
        (margin(metric="ttft"), "does not say how much", 'slower = "5%"'),
        (margin(metric="steps", more="5%", slower="5%"), "has slower and more", "one of them"),
        # contradictions
        (limit(metric="ttft.p50", max="3 s") + limit(metric="ttft.p50", max="4 s"), "ttft.p50 is limited twice", ""),
        (limit(metric="ttft.p50", max="3 s") * 2, "ttft.p50 is limited twice", "name other tasks, tags or agents"),
        (limit(metric="ttft.p50", max="3 s", min="4 s"), "ttft.p50 cannot be at least and at most that", ""),
        (
            limit(metric="ttft.p50", min="4 s") + limit(metric="ttft.p95", max="3 s"),
            "ttft.p50 and ttft.p95 cannot be at least and at most that",
            "",
        ),
        (
            limit(metric="steps.mean", min=4) + limit(metric="steps.max", max=3),
            "steps.mean and steps.max cannot be",
            "",
        ),
        (margin(metric="ttft", slower="1%") + margin(metric="ttft", slower="2%"), "ttft has two margins", ""),
        (
            margin(metric="ttft", slower="1%", primary=True) + margin(metric="steps", more="2%", primary=True),
            "several margins are primary: ttft, steps",
            "",
        ),
        # emptiness
        ("[check]\nagainst = 'main'\n", "no limit and no margin", ""),
        (limit(metric="steps.max", max=4) + "[[limit]]\nmetric = 'steps.max'\n", "limit is in no table", "below check"),
        (limit(metric="steps.max", max=4, tasks=""), "limit.0.tasks", ""),
        (limit(metric="steps.max", max=4, tags=""), "limit.0.tags", ""),
        ("[check]\ndrift = '100%'\n" + limit(metric="steps.max", max=4), "drift = '100%' excludes nothing", ""),
    ],
)
def test_what_makes_no_sense_is_told_with_what_would(load, text, said, remedy):
    with pytest.raises(UsageError) as caught:
        load(text)
    assert said in caught.value.message
    assert "profiler.toml" in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 2


def test_bounds_of_other_tasks_and_higher_quantiles_contradict_nothing(load):
    text = limit(metric="ttft.p50", min="4 s", tasks="a") + limit(metric="ttft.p95", max="3 s", tasks="b")
    text += limit(metric="ttft.p95", min="2 s") + limit(metric="ttft.p50", max="1 s") + limit(metric="steps.max", min=9)
    assert len(load(text + limit(metric="steps.mean", max=3)).limits) == 6
