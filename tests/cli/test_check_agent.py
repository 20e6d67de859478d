"""`profiler check AGENT`: run now, beside a git revision or something kept; and changed trajectories, of `ab` too."""

import json
from pathlib import Path

import pytest
from pinned_agent import TASKS, commit, git, write_agent

LIMIT = '[check]\n[[check.limit]]\nmetric = "llm_calls.max"\nmax = 2\n'
MARGIN = f'{LIMIT}[[check.margin]]\nmetric = "llm_calls"\nslower = "5%"\n'
LACKS = "asks for a call that the script lacks after step 2 (answer), in 2 tasks: first, second"
LEAVES_OUT = "leaves calls of the script out after step 1 (plan), in 2 tasks: first, second"


@pytest.fixture
def repository(bench):
    """Whose last commit keeps to its script; the budgets are not of it."""
    write_agent(bench.folder)
    commit(bench.folder)
    (bench.folder / "profiler.toml").write_text(MARGIN, encoding="utf-8")
    return bench


def verdicts(result):
    told = json.loads(result.out)
    return told["verdict"], {each["name"]: each["verdict"] for each in told["checks"]}


def folders(bench):
    return sorted(path.name for path in (bench.folder / "out").iterdir())


def test_a_revision_is_measured_in_turns_with_the_working_tree_and_leaves_nothing_behind(repository):
    result = repository.run(
        "check", "two_steps.py", "--against", "main", "--rounds", "2", "--out", "out", "--format", "json"
    )
    assert result.code == 0, result.err
    verdict, each = verdicts(result)
    assert (verdict, each["llm_calls"], each["trajectory"]) == ("not regressed",) * 3
    told = json.loads(result.out)
    assert told["run"] == "two_steps.py"
    assert told["against"] == f"main ({git(repository.folder, 'rev-parse', '--short=12', 'main').strip()})"
    assert "both sides are the same code" in told["remarks"][0]
    assert not [each for each in told["remarks"] if "one after the other" in each]
    assert folders(repository) == ["baseline", "baseline.log", "candidate", "candidate.log"]
    assert repository.manifest("out/candidate")["chains"]["finished"] == 4
    assert git(repository.folder, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize(("answers", "said"), [(2, LACKS), (0, LEAVES_OUT)])
def test_calls_that_do_not_suit_the_script_are_a_changed_trajectory_for_a_check(repository, answers, said):
    write_agent(repository.folder, answers=answers)
    result = repository.run(
        "check", "two_steps.py", "--against", "main", "--rounds", "1", "--out", "out", "--format", "json"
    )
    assert result.code == 1, result.err
    verdict, each = verdicts(result)
    assert (verdict, each["trajectory"]) == ("regressed", "regressed")
    reason = next(each["reason"] for each in json.loads(result.out)["checks"] if each["name"] == "trajectory")
    assert f"the candidate {said}" in reason
    again = repository.run(
        *("check", "out/candidate", "--against", "out/baseline", "--trajectory", "ignore", "--format", "json")
    )
    assert "trajectory" not in verdicts(again)[1]
    assert any("another way" in each for each in json.loads(again.out)["remarks"])


@pytest.mark.parametrize(("answers", "said"), [(2, LACKS), (0, LEAVES_OUT)])
def test_calls_that_do_not_suit_the_script_are_a_changed_trajectory_for_ab(repository, answers, said):
    write_agent(repository.folder, answers=answers)
    result = repository.run(
        "ab", "two_steps.py", "--a", "--rev main", "--b", "", "--rounds", "1", "--out", "out", "--format", "json"
    )
    assert result.code == 1, result.err
    told = json.loads(result.out)["ab"]
    assert told["verdict"] == "regressed"
    assert told["left_script"] == [f"B {said}"]
    assert f"changed trajectory, B {said}" in told["words"]
    assert result.err.count("changed trajectory") == 1  # for whoever reads along


def test_with_limits_alone_only_the_candidate_is_run_and_its_step_is_named(repository):
    (repository.folder / "profiler.toml").write_text(LIMIT, encoding="utf-8")
    write_agent(repository.folder, answers=0)
    result = repository.run("check", "two_steps.py", "--rounds", "1", "--out", "out", "--against", "main")
    assert result.code == 1, result.err
    assert LEAVES_OUT in result.out
    assert "no margin is set, so main was not measured" in result.out
    assert folders(repository) == ["candidate", "candidate.log"]


def test_what_was_kept_is_taken_where_no_revision_has_that_name(repository):
    (repository.folder / "profiler.toml").write_text(LIMIT, encoding="utf-8")
    assert repository.run("check", "two_steps.py", "--rounds", "1", "--out", "out").code == 0
    assert repository.run("baseline", "set", "kept", "out/candidate").code == 0
    (repository.folder / "profiler.toml").write_text(MARGIN, encoding="utf-8")
    result = repository.run(
        "check", "two_steps.py", "--against", "kept", "--rounds", "1", "--out", "again", "--format", "json"
    )
    assert result.code == 0, result.err
    assert verdicts(result)[1]["llm_calls"] == "not regressed"
    assert json.loads(result.out)["against"].endswith("kept")
    assert not (repository.folder / "again" / "baseline").exists()


def refused(bench, *arguments):
    result = bench.run("check", *arguments)
    assert result.code == 2, result.err
    assert not (bench.folder / "traces").exists()
    return result.err


def test_what_is_wrong_with_an_agent_or_its_revision_is_told_before_anything_starts(repository):
    agent = "two_steps.py"
    assert "nowhere is no revision of a repository" in refused(repository, agent, "--against", "nowhere")
    assert "agent file other.py does not exist" in refused(repository, "other.py", "--against", "main")
    assert "there is nothing to hold the run against" in refused(repository, agent)
    assert "No such option" in refused(repository, agent, "--against", "main", "--run", "--nonsense")
    assert "--run is for all sides" in refused(repository, agent, "--against", "main", "--run", "--rev x")
    assert "--repeat cannot be given in --run" in refused(repository, agent, "--against", "main", "--run", "--repeat 2")
    Path("new.py").write_text(Path(agent).read_text(encoding="utf-8"), encoding="utf-8")
    told = refused(repository, "new.py", "--against", "main", "--run", "--input x")
    assert "there is no new.py at main" in told
    (repository.folder / "mine.txt").write_text("mine", encoding="utf-8")
    assert "is no report of ours" in refused(repository, agent, "--against", "main", "--junit", "mine.txt")


@pytest.mark.parametrize(
    ("whose", "said"),
    [
        ('tasks = "frist"', "did you mean first?"),
        ('tags = "slow"', "none of its tasks has a tag"),
        ('agents = "other"', "no limit and no margin is for agent two_steps"),
    ],
)
def test_budgets_that_fit_nothing_are_told_before_anything_is_measured(repository, whose, said):
    (repository.folder / "profiler.toml").write_text(f"{LIMIT}{whose}\n", encoding="utf-8")
    assert said in refused(repository, "two_steps.py")


def test_tasks_and_scripts_that_differ_are_refused_with_what_to_do(repository):
    agent, script = "two_steps.py", repository.folder / "two_steps.script.json"
    tasks = repository.folder / "two_steps.tasks.json"
    tasks.write_text(json.dumps({"tasks": [{"id": "first", "input": "the first one"}]}), encoding="utf-8")
    told = refused(repository, agent, "--against", "main")
    assert "the sides have different tasks: second" in told
    assert "--allow tasks" in told
    script.write_text(script.read_text(encoding="utf-8").replace('"so"', '"so so"'), encoding="utf-8")
    told = refused(repository, agent, "--against", "main", "--allow", "tasks")
    assert "the sides do different work: their scripts differ" in told
    assert "--allow script" in told
    script.unlink()
    assert "only the baseline main has a script" in refused(repository, agent, "--against", "main", "--allow", "tasks")


def test_tasks_that_both_have_are_measured_if_that_is_allowed(repository):
    tasks = [{"id": TASKS[0], "input": f"the {TASKS[0]} one"}, {"id": TASKS[1], "input": "something else"}]
    (repository.folder / "two_steps.tasks.json").write_text(json.dumps({"tasks": tasks}), encoding="utf-8")
    more = ("--rounds", "1", "--out", "out", "--format", "json")
    result = repository.run("check", "two_steps.py", "--against", "main", "--allow", "tasks", *more)
    assert result.code == 0, result.err  # one task: the number of calls cannot be told, nor is it worse
    assert "not measured, since they are not the same on both sides: second" in json.loads(result.out)["remarks"]
    assert repository.manifest("out/candidate")["tasks"]["ids"] == ["first"]


def test_a_revision_whose_dependencies_cannot_be_installed_is_bad_data(repository, monkeypatch):
    monkeypatch.setenv("PROFILER_CACHE_DIR", str(repository.folder / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr("profiler.ab.revision._profiler", lambda: "no-such-package-anywhere")
    (repository.folder / "requirements.txt").write_text("no-such-package-anywhere\n", encoding="utf-8")
    commit(repository.folder, "asks for what there is not")
    (repository.folder / "requirements.txt").unlink()
    result = repository.run("check", "two_steps.py", "--against", "main")
    assert result.code == 3, result.err
    assert "cannot install what the revision needs" in result.err
    assert "no-such-package-anywhere" in result.err
    assert git(repository.folder, "worktree", "list").count("\n") == 1


def test_options_of_agents_and_revisions_are_no_use_for_a_run_that_is_over(repository):
    (repository.folder / "profiler.toml").write_text(LIMIT, encoding="utf-8")
    assert repository.run("check", "two_steps.py", "--rounds", "1", "--out", "out").code == 0
    for option in ("--rounds", "--run", "--out"):
        assert f"{option} is for an agent" in refused(repository, "out/candidate", option, "3")
    told = refused(repository, "out/candidate", "--against", "main")
    assert "main is a git revision, and neither a run nor a baseline" in told
    assert "two_steps.py --against main" in told
