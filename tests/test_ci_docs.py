"""docs/ci.md: what it gives to copy is valid, its commands exist, and those for the embedded engine really run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from profiler import errors
from profiler.cli import cli

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- ([a-z -]+) -->\n```(?:yaml|sh)\n(.*?)```\n", TEXT, re.DOTALL))
WORKFLOWS = ("github", "github vllm")
AGENT = """
import os, httpx2
def answer(task):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": task}]}
    with httpx2.Client(timeout=60) as client:
        for _ in range(CALLS):
            client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).raise_for_status()
    return "done"
"""
TASKS = '{"tasks": [{"id": "one", "input": "one"}, {"id": "two", "input": "two"}]}'
BUDGETS = '[check]\n[[check.margin]]\nmetric = "llm_calls"\nslower = "0%"\n'


def steps(name):
    (job,) = yaml.safe_load(BLOCKS[name])["jobs"].values()
    return job["steps"]


def scripts(name):
    """What a block has a shell run, without installing."""
    if name in WORKFLOWS:
        return [step["run"] for step in steps(name) if "run" in step and step.get("name") != "install"]
    if name == "gitlab":
        return [line for line in yaml.safe_load(BLOCKS[name])["latency"]["script"] if not line.startswith("pip ")]
    if name == "pre-commit":
        return [yaml.safe_load(BLOCKS[name])["repos"][0]["hooks"][0]["entry"]]
    return [BLOCKS[name]]


def commands(text):
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line.strip())[1:] for line in lines if line.strip().startswith("profiler ")]


def test_there_is_something_to_copy_for_each_place():
    assert set(BLOCKS) == {"github", "github vllm", "stored", "gitlab", "pre-commit"}
    assert all(sum(map(len, map(commands, scripts(name)))) for name in BLOCKS)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_the_history_and_keeps_its_reports_whatever_comes_out(name):
    by_action = {step["uses"].partition("@")[0]: step for step in steps(name) if "uses" in step}
    assert by_action["actions/checkout"]["with"]["fetch-depth"] == 0
    upload = by_action["actions/upload-artifact"]
    assert upload["if"] == "always()"
    written = " ".join(scripts(name))
    assert all(Path(path).parts[0] in written for path in upload["with"]["path"].split())
    assert all(("run" in step) != ("uses" in step) for step in steps(name))


def test_gitlab_and_pre_commit_have_what_they_need():
    job = yaml.safe_load(BLOCKS["gitlab"])["latency"]
    assert job["variables"]["GIT_DEPTH"] == "0"
    assert job["artifacts"]["reports"]["junit"] in " ".join(job["script"])
    hook = yaml.safe_load(BLOCKS["pre-commit"])["repos"][0]["hooks"][0]
    assert hook["stages"] == ["pre-push"]
    assert hook["pass_filenames"] is False


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_command_and_option_exists(name):
    for script in scripts(name):
        for words in commands(script):
            command, context = cli, click.Context(cli)
            while isinstance(command, click.Group):
                command = command.get_command(context, words.pop(0))
                assert command is not None
            command.make_context(command.name, list(words))
            if "--run" in words:
                run = cli.get_command(context, "run")
                run.make_context("run", [words[0], *shlex.split(words[words.index("--run") + 1])])


def test_the_table_has_every_exit_code():
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert told == {value for name, value in vars(errors).items() if name.startswith("EXIT_")} | {130}


def test_what_is_linked_is_there():
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link


def git(folder, *arguments):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A clone, as a runner has it, of a project whose agent makes one call on its main branch."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_", "OTEL_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    origin = tmp_path / "origin"
    (origin / "agents").mkdir(parents=True)
    (origin / "agents" / "my_agent.py").write_text(AGENT.replace("CALLS", "1"), encoding="utf-8")
    (origin / "agents" / "my_agent.tasks.json").write_text(TASKS, encoding="utf-8")
    (origin / "profiler.toml").write_text(BUDGETS, encoding="utf-8")
    (origin / "requirements.txt").write_text("httpx2\n", encoding="utf-8")
    git(origin, "init", "--quiet", "--initial-branch", "main")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message", "one call")
    git(tmp_path, "clone", "--quiet", str(origin), "project")
    command = tmp_path / "bin" / "profiler"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m profiler "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "project"


def run(project, script, **environ):
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=project,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, sep="\n")
    return done


@pytest.mark.live
@pytest.mark.timeout(600)
@pytest.mark.parametrize("calls", [1, 2])
def test_the_workflow_for_the_embedded_engine_passes_and_fails_as_it_should(project, calls):
    (project / "agents" / "my_agent.py").write_text(AGENT.replace("CALLS", str(calls)) + "\n#\n", encoding="utf-8")
    environ = yaml.safe_load(BLOCKS["github"])["jobs"]["check"]["env"]
    environ = {
        name: value.replace("${{ github.workspace }}", str(project)).replace("${{ github.base_ref }}", "main")
        for name, value in environ.items()
    }
    assert not [value for value in environ.values() if "${{" in value]
    summary = project.parent / "summary.md"
    check, report = scripts("github")
    done = run(project, check, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary), **environ)
    assert done.returncode == calls - 1
    assert ("::error title=profiler check" in done.stderr) == (calls > 1)
    assert summary.read_text(encoding="utf-8").strip() == (project / "latency.md").read_text(encoding="utf-8").strip()
    assert ("<failure" in (project / "latency.xml").read_text(encoding="utf-8")) == (calls > 1)
    assert run(project, report, **environ).returncode == 0
    assert (project / "latency.html").stat().st_size > 0


@pytest.mark.live
@pytest.mark.timeout(600)
def test_the_job_for_gitlab_runs(project):
    (script,) = scripts("gitlab")
    assert run(project, script, CI_MERGE_REQUEST_DIFF_BASE_SHA=git(project, "rev-parse", "HEAD")).returncode == 0
    assert "<testsuite" in (project / "latency.xml").read_text(encoding="utf-8")


@pytest.mark.live
@pytest.mark.timeout(600)
def test_a_stored_baseline_is_kept_and_held_against(project):
    keep = [line.strip() for line in TEXT.splitlines() if re.match(r"    profiler (run|baseline set) ", line)]
    assert run(project, "\n".join(keep)).returncode == 0
    (script,) = scripts("stored")
    assert run(project, script).returncode == 0
    assert "<testsuite" in (project / "latency.xml").read_text(encoding="utf-8")
