"""The gate on the sample agents: which revision it measures against, and that it sees what it is there for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import own_gate
import pytest

ROOT = Path(__file__).parents[1]


def git(folder, *arguments):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, text):
    (folder / "profiler").mkdir(exist_ok=True)
    (folder / "profiler" / "code.py").write_text(text, encoding="utf-8")
    git(folder, "add", "profiler")
    git(folder, "commit", "--quiet", "--message", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


def test_on_the_default_branch_the_base_is_the_commit_before(repository):
    first = commit(repository, "one")
    assert own_gate.base_revision(repository) is None
    commit(repository, "two")
    assert own_gate.base_revision(repository) == first


def test_on_a_branch_the_base_is_where_it_left_the_default_branch(repository, tmp_path):
    left = commit(repository, "one")
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    clone = tmp_path / "clone"
    git(clone, "switch", "--quiet", "--create", "branch")
    commit(clone, "two")
    commit(clone, "three")
    assert own_gate.base_revision(clone) == left


def test_a_shallow_clone_and_a_folder_without_git_have_no_base(repository, tmp_path):
    commit(repository, "one")
    commit(repository, "two")
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), "shallow")
    assert own_gate.base_revision(tmp_path / "shallow") is None
    (tmp_path / "plain").mkdir()
    assert own_gate.base_revision(tmp_path / "plain") is None


def test_only_what_is_measured_counts_as_a_change(repository):
    base = commit(repository, "one")
    (repository / "README.md").write_text("words\n", encoding="utf-8")
    assert not own_gate.changed(repository, base)
    (repository / "profiler" / "new.py").write_text("", encoding="utf-8")
    assert own_gate.changed(repository, base)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "new")
    assert own_gate.changed(repository, base)


def test_a_base_whose_profiler_cannot_take_turns_is_not_timed(repository, monkeypatch, capsys):
    base = commit(repository, "one")
    monkeypatch.setattr(own_gate, "ROOT", repository)
    assert own_gate.times(repository / "pair", base) == 0
    assert f"the profiler of {base[:12]} cannot take turns yet" in capsys.readouterr().out


def tasks(**asked):
    return json.dumps({"tasks": [{"id": name, "input": text} for name, text in asked.items()]})


def test_tasks_that_ask_something_else_or_are_new_are_not_timed():
    assert own_gate.alike(tasks(a="x", b="y", gone="z"), tasks(a="x", b="other", new="z")) == ["a"]
    assert own_gate.alike(None, tasks(a="x")) == []


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The sample agents with their baselines, elsewhere."""
    for name in ("agents", "traces/baselines"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "profiler.toml", tmp_path)
    monkeypatch.setattr(own_gate, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    for name in ("GITHUB_ACTIONS", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def change(project, old, new):
    path = project / "agents" / "plain_openai.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.live
@pytest.mark.timeout(600)
def test_a_prompt_that_is_longer_by_a_few_words_is_caught(project, capfd):
    change(project, "Write the answer.", "Write the answer. Take your time.")
    assert own_gate.counts("plain_openai", project / "run") == 1
    assert "prompt_tokens ×1.0" in capfd.readouterr().out


@pytest.mark.live
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        return ask(f", '        ask("Are you sure?")\n        return ask(f'),
        ('        plan = ask(f"', '        plan = str(f"'),
    ],
    ids=["added", "left-out"],
)
def test_a_call_that_is_added_or_left_out_is_caught(project, capfd, old, new):
    change(project, old, new)
    assert own_gate.counts("plain_openai", project / "run") == 1
    assert re.search(r"^regressed +trajectory: .*call", capfd.readouterr().out, re.MULTILINE)
