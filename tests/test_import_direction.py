"""The pure parts stay pure: they import no recorder, no engine and no SDK, print nothing and read no clock."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "profiler"
ALL = sorted(PACKAGE.rglob("*.py"))
PURE = [path for path in ALL if path.parent.name in ("analysis", "findings", "stats", "compare", "report", "trend")]
PURE.append(PACKAGE / "store" / "manifest.py")

OUTER = ("profiler.record", "profiler.engines", "profiler.cli", "profiler.store.writer", "profiler.store.reader")
LIBRARIES = ("opentelemetry", "langchain", "langchain_core", "langgraph", "openai", "httpx", "httpx2", "click")
CLOCKS = ("time", "datetime")


def name_of(path):
    return str(path.relative_to(REPOSITORY))


@functools.cache
def nodes(path):
    """Of a file's syntax tree, all of them."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(path):
    """Every module that a file imports, functions' own imports included."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_below(module, packages):
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_there_are_pure_modules_to_look_at():
    folders = {path.parent.name for path in PURE}
    assert folders == {"analysis", "findings", "stats", "compare", "report", "trend", "store"}
    assert len(PURE) > 10


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_a_pure_module_imports_nothing_that_acts(path):
    found = [module for module in imported(path) if is_below(module, (*OUTER, *LIBRARIES, *CLOCKS))]
    assert found == []


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_a_pure_module_does_not_print_or_open_files(path):
    called = [node.func.id for node in nodes(path) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert not {"print", "open", "input"} & set(called)


@pytest.mark.parametrize(
    ("folder", "outer"),
    [
        ("stats", ("profiler.analysis", "profiler.report", "profiler.store", "profiler.compare")),
        ("compare", ("profiler.report", "profiler.store.reader", "profiler.store.writer")),
        ("trend", ("profiler.report", "profiler.store.reader", "profiler.store.writer")),
        ("analysis", ("profiler.report", "profiler.store", "profiler.compare", "profiler.trend")),
        ("store", ("profiler.report", "profiler.record", "profiler.engines", "profiler.cli")),
        ("exchange", ("profiler.report", "profiler.record", "profiler.engines", "profiler.cli")),
        ("record", ("profiler.report", "profiler.cli")),
        ("receive", ("profiler.report", "profiler.cli", "profiler.record", "profiler.engines", "profiler.analysis")),
        ("metrics", ("profiler.report", "profiler.cli", "profiler.selftest")),
        ("conformance", ("profiler.report", "profiler.cli", "profiler.analysis", "profiler.store")),
        ("engines", ("profiler.report", "profiler.cli", "profiler.analysis")),
    ],
)
def test_a_layer_does_not_import_those_above_it(folder, outer):
    found = [
        f"{name_of(path)}: {module}"
        for path in sorted((PACKAGE / folder).glob("*.py"))
        for module in imported(path)
        if is_below(module, outer)
    ]
    assert found == []


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_a_pure_module_names_no_place_of_a_machine(path):
    strings = [node.value for node in nodes(path) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in strings if re.match(r"/\w+/\w+", text)]


def test_reporting_loads_no_sdk_and_no_framework():
    unwanted = ("opentelemetry.sdk", "langchain_core", "langgraph", "openai", "httpx", "httpx2", "profiler.record")
    program = (
        "import sys, profiler.analysis.summary, profiler.analysis.tables, profiler.report.terminal, "
        "profiler.report.structured, profiler.report.caveats, profiler.store.reader\n"
        f"print([name for name in {unwanted!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
