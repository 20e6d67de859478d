"""Revisions of a repository, checked out."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from profiler.ab.revision import _without_settings, checked_out, commit_of, is_shallow
from profiler.errors import UsageError


def git(folder, *arguments):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def repository(folder):
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "agent.py").write_text("", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "an agent")
    return folder


def test_an_agent_that_is_a_link_out_of_the_repository_is_usage(tmp_path):
    top = repository(tmp_path / "top")
    outside = tmp_path / "elsewhere.py"
    outside.write_text("", encoding="utf-8")
    (top / "link.py").symlink_to(outside)
    with (
        pytest.raises(UsageError, match=r"is a link to .*elsewhere\.py"),
        checked_out(top / "link.py", "HEAD", lambda _: None),
    ):
        pass


def test_modules_of_a_revision_come_before_those_of_the_working_tree(tmp_path, monkeypatch):
    top = repository(tmp_path / "top")
    for folder in ("src", "lib", "found/package", "not kept"):
        (top / folder).mkdir(parents=True)
        (top / folder / "helper.py").write_text("", encoding="utf-8")
    git(top, "add", "src", "lib", "found")
    git(top, "commit", "--quiet", "--message", "modules")
    for folder in ("lib", "not kept"):
        monkeypatch.syspath_prepend(top / folder)
    finder = SimpleNamespace(MAPPING={"package": str(top / "found" / "package")})
    monkeypatch.setitem(sys.modules, "__editable___package_finder", finder)
    monkeypatch.setenv("PYTHONPATH", str(top / "lib"))
    with checked_out(top / "agent.py", "HEAD", lambda _: None) as found:
        tree = found.agent.parent
        path = found.place.environ["PYTHONPATH"].split(os.pathsep)
    assert path == [*(str(tree / each) for each in ("", "src", "lib", "found")), str(top / "lib")]


def test_submodules_come_with_a_revision(tmp_path, monkeypatch):
    top, library = repository(tmp_path / "top"), repository(tmp_path / "library")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")
    git(top, "submodule", "--quiet", "add", str(library), "library")
    git(top, "commit", "--quiet", "--message", "a library")
    with checked_out(top / "agent.py", "HEAD", lambda _: None) as found:
        assert (found.agent.parent / "library" / "agent.py").is_file()


def test_submodules_that_cannot_be_fetched_are_told(tmp_path, monkeypatch):
    top, library = repository(tmp_path / "top"), repository(tmp_path / "library")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")
    git(top, "submodule", "--quiet", "add", str(library), "library")
    git(top, "commit", "--quiet", "--message", "a library")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "https")
    with (
        pytest.raises(UsageError, match="cannot fetch the submodules of HEAD"),
        checked_out(top / "agent.py", "HEAD", lambda _: None),
    ):
        pass


def test_a_repository_that_git_does_not_trust_is_not_one_without_revisions(tmp_path, monkeypatch):
    top = repository(tmp_path / "top")
    assert commit_of(top, "HEAD")
    assert commit_of(top, "nowhere") is None
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(UsageError, match="git does not read the repository") as caught:
        commit_of(top, "HEAD")
    assert "safe.directory" in caught.value.remedy


def test_of_a_shallow_clone_a_revision_that_is_missing_may_be_fetched(tmp_path):
    top = repository(tmp_path / "top")
    git(top, "commit", "--quiet", "--allow-empty", "--message", "more")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{top}", "clone")
    assert (is_shallow(top), is_shallow(tmp_path / "clone")) == (False, True)
    clone = tmp_path / "clone" / "agent.py"
    with pytest.raises(UsageError, match="has no revision 'HEAD~1'") as caught, checked_out(clone, "HEAD~1", print):
        pass
    assert "fetch-depth: 0" in caught.value.remedy


def test_settings_of_tools_that_install_nothing_make_no_other_environment():
    project = '[project]\nname = "x"\ndependencies = ["httpx"]\n'
    assert _without_settings(project) == _without_settings(f"{project}[tool.ruff]\nline-length = 80\n")
    assert _without_settings(project) != _without_settings(project.replace("httpx", "httpx2"))
    assert _without_settings(project) != _without_settings(f'{project}[tool.uv.sources]\nhttpx = {{ path = "x" }}\n')
    assert _without_settings("no toml") == "no toml"
