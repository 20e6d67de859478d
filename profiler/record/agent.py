"""Loading an agent: `path.py` or `path.py:name`, without asking anything of its author.

An agent is a compiled LangGraph graph, a zero-argument factory of one, or a plain (async) function task -> answer.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
import threading
import traceback
import uuid
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from profiler.errors import AgentLoadError, DataError

# Names that are taken without asking when a file holds several candidates.
_FACTORIES = ("agent", "graph", "app", "build_agent", "make_agent", "create_agent")
_PREFERRED = (*_FACTORIES, "answer", "run", "main")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that can be asked."""

    name: str
    path: Path
    kind: str  # "graph" or "function"
    ask: Callable[[Any], Awaitable[Any]]  # task input -> answer


def split_spec(spec: str) -> tuple[Path, str | None]:
    """`path.py:name` in two; a bare path has no name.

    Raises:
        AgentLoadError: there is no such file.
    """
    head, colon, name = spec.rpartition(":")
    path, wanted = (Path(head), name) if colon and name.isidentifier() else (Path(spec), None)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise AgentLoadError(
            f"agent file {path} {what}", remedy="give a Python file: profiler run path/to/agent.py[:name]"
        )
    return path, wanted


def load_agent(spec: str) -> Agent:
    """Import the file and find the agent in it.

    Raises:
        AgentLoadError: the file is missing, fails to import, or holds no agent or several.
    """
    path, wanted = split_spec(spec)
    module = _import(path)
    name, found = _choose(module, path, wanted)
    kind, value = _classify(found, named=wanted is not None)
    if kind == "none":
        raise AgentLoadError(
            f"{path}: {name} is a {type(found).__name__}, not an agent",
            remedy="it must be a compiled graph, a function that returns one, or a function of the task",
        )
    if kind == "factory":
        value = _call_factory(name, value, path)
        kind = "graph"
    agent_name = path.stem if wanted is None else f"{path.stem}:{wanted}"
    ask = _ask_graph(value) if kind == "graph" else _ask_function(value)
    return Agent(agent_name, path, kind, ask)


def _import(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise AgentLoadError(f"{path} is not a Python file", remedy="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise AgentLoadError(
            f"{path} cannot be imported: no module named {error.name!r}",
            remedy=f"install it next to the profiler: {sys.executable} -m pip install …",
        ) from error
    except (Exception, SystemExit) as error:
        raise AgentLoadError(
            f"{path} cannot be imported: {type(error).__name__}: {error}", details=_last_frames(error, path)
        ) from error
    return module


def _last_frames(error: BaseException, path: Path) -> str | None:
    """Where in the agent's own file it happened."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {(error.text or '').strip()}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == path.name]
    return "\n".join(f"line {frame.lineno}: {frame.line}" for frame in frames) or None


def _choose(module: ModuleType, path: Path, wanted: str | None) -> tuple[str, Any]:
    if wanted is not None:
        if not hasattr(module, wanted):
            have = ", ".join(_candidates(module)) or "none"
            raise AgentLoadError(f"{path} has no {wanted!r}", remedy=f"candidates in the file: {have}")
        return wanted, getattr(module, wanted)
    candidates = _candidates(module)
    for kind in ("graph", "factory", "function"):  # a file with a graph holds its nodes' functions too
        pool = [name for name, value in candidates.items() if _classify(value)[0] == kind]
        preferred = [name for name in _PREFERRED if name in pool] or pool
        if len(pool) == 1 or (pool and preferred is not pool):
            return preferred[0], candidates[preferred[0]]
        if pool:
            raise AgentLoadError(
                f"{path} has several candidates for the agent: {', '.join(sorted(pool))}",
                remedy=f"name one: profiler run {path}:{min(pool)}",
            )
    unasked = [name for name, value in vars(module).items() if _may_be_called(name, value, module)]
    hint = f"; if it is what {unasked[-1]}() returns, name it: profiler run {path}:{unasked[-1]}" if unasked else ""
    raise AgentLoadError(
        f"{path} has no agent that can be told by itself",
        remedy="it must hold a compiled LangGraph graph, a zero-argument function that returns one (called "
        f"{', '.join(_FACTORIES[:-1])} or {_FACTORIES[-1]}, annotated, or named after a colon), or a function that "
        f"takes the task and returns the answer{hint}",
    )


def _may_be_called(name: str, value: Any, module: ModuleType) -> bool:
    """Whether it is a function of the file's own that takes nothing: maybe a factory, but it does not say so."""
    own = inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    return own and _classify(value, named=True)[0] == "factory"


def _candidates(module: ModuleType) -> dict[str, Any]:
    found = {}
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if getattr(value, "__module__", module.__name__) != module.__name__ and inspect.isroutine(value):
            continue  # imported into the file, not written in it
        if _classify(value)[0] != "none":
            found[name] = value
    return found


def _classify(value: Any, *, named: bool = False) -> tuple[str, Any]:
    """What a value is: graph, factory, function or none; a function that the user named needs no telling name."""
    pregel = sys.modules.get("langgraph.pregel")
    if pregel is not None and isinstance(value, pregel.Pregel):
        return "graph", value
    if not inspect.isfunction(value) or inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        return "none", value  # of a generator nobody knows when it has answered
    required = [
        parameter
        for parameter in inspect.signature(value).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(required) == 1 and required[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        return "function", value
    return ("factory", value) if not required and (named or _may_return_graph(value)) else ("none", value)


def _may_return_graph(function: Callable[[], Any]) -> bool:
    """A zero-argument function is a factory by its annotation or, lacking one, by its name."""
    returns = function.__annotations__.get("return")
    if returns is None or returns in (Any, "Any"):
        return function.__name__ in _FACTORIES
    text = returns if isinstance(returns, str) else getattr(returns, "__name__", str(returns))
    return any(word in text for word in ("Graph", "Pregel", "Runnable"))


def _call_factory(name: str, factory: Callable[[], Any], path: Path) -> Any:
    try:
        made = factory()
    except Exception as error:
        raise AgentLoadError(
            f"{path}: {name}() raised {type(error).__name__}: {error}", details=_last_frames(error, path)
        ) from error
    if _classify(made)[0] != "graph":
        raise AgentLoadError(
            f"{path}: {name}() returned {type(made).__name__}, not a compiled graph",
            remedy="return the result of create_agent(…) or StateGraph(…).compile()",
        )
    return made


def _ask_graph(graph: Any) -> Callable[[Any], Awaitable[Any]]:
    takes_messages = "messages" in graph.channels

    async def ask(task: Any) -> Any:
        state = task
        if isinstance(task, str):
            if not takes_messages:
                raise DataError(
                    "the graph's state has no 'messages'",
                    remedy="give the task's 'input' in the tasks file as an object: the graph's input state",
                )
            state = {"messages": [{"role": "user", "content": task}]}
        result = await graph.ainvoke(state, {"configurable": {"thread_id": str(uuid.uuid4())}})
        messages = result.get("messages") if isinstance(result, dict) else None
        return messages[-1].content if messages and hasattr(messages[-1], "content") else result

    return ask


def _ask_function(function: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    if inspect.iscoroutinefunction(function):
        return function

    async def ask(task: Any) -> Any:
        answer = await _in_daemon_thread(function, task)
        return await answer if inspect.isawaitable(answer) else answer

    return ask


async def _in_daemon_thread(function: Callable[[Any], Any], task: Any) -> Any:
    """Run a blocking function so that abandoning it (timeout, Ctrl-C) does not keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = context.run(function, task)
        except SystemExit as error:
            failure = RuntimeError(f"the agent called sys.exit({error.code!r})")
        except BaseException as error:  # noqa: BLE001 - carried over to the awaiting chain
            carried = isinstance(error, Exception) and not isinstance(error, StopIteration)
            failure = error if carried else RuntimeError(f"the agent raised {type(error).__name__}: {error}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="agent", daemon=True).start()
    return await future
