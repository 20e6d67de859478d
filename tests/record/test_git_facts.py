"""What a run keeps of the agent's repository: the commit, and whether its folder is as it was committed."""

import subprocess

import pytest

from profiler.record.facts import git


@pytest.fixture
def repository(tmp_path):
    def call(*arguments):
        identity = ("-c", "user.name=dev", "-c", "user.email=dev@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, timeout=60)

    call("init", "-q")
    (tmp_path / "agent.py").write_text("one\n", encoding="utf-8")
    call("add", ".")
    call("commit", "-qm", "first")
    return tmp_path


def test_outside_of_a_repository_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git(tmp_path) is None


def test_a_folder_as_it_was_committed_is_not_dirty(repository):
    found = git(repository)
    assert len(found["commit"]) == 40
    assert found["dirty"] is False


@pytest.mark.parametrize("name", ["agent.py", "new_tool.py"])
def test_a_changed_and_a_new_file_make_it_dirty(repository, name):
    (repository / name).write_text("two\n", encoding="utf-8")
    assert git(repository)["dirty"] is True


def test_runs_beside_the_agent_do_not(repository):
    (repository / "traces" / "run").mkdir(parents=True)
    (repository / "traces" / "run" / "run.json").write_text("{}", encoding="utf-8")
    assert git(repository)["dirty"] is False
