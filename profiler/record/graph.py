"""The graph: steps and tools of a chain, from LangChain's callbacks.

The handler reaches every LangChain run of a chain through a configure hook and a context variable, so the agent's
author passes nothing. A graph node's run is recognised by the tag that LangGraph puts on it, `graph:step:N`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, manager
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook
from opentelemetry.trace import SpanKind

from profiler import semconv as sc
from profiler.record import cost as costs
from profiler.record.clock import Clock
from profiler.record.cost import TIME_EVENTS_EVERY, Cost
from profiler.record.spans import Span
from profiler.record.text import clean_message

_STEP_TAG = "graph:step:"

active_handler: ContextVar[GraphHandler | None] = ContextVar("profiler_graph_handler", default=None)
register_configure_hook(active_handler, inheritable=True)


class Node:
    """What others can hang below: a step, a tool, or the chain itself.

    While the agent waits it is a few values. Its span and its path of nodes are made when they are asked for: by a
    call below it, or when the chain is over.
    """

    __slots__ = ("_place", "_span", "end_ns", "error", "error_type", "name", "parent", "start_ns")

    def __init__(self, parent: Node | None, name: str, start_ns: int) -> None:
        self.parent = parent
        self.name = name
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.error: str | None = None
        self.error_type: str | None = None
        self._span: Span | None = None
        self._place: str | None = None

    @property
    def place(self) -> str:
        """The path of nodes that leads here; empty for the chain."""
        if self._place is None:
            above, own = self.parent.place if self.parent else "", self._own_place()
            self._place = f"{above}/{own}" if above else own
        return self._place

    @property
    def span(self) -> Span:
        """Its span, started."""
        if self._span is None:
            if self.parent is None:
                raise ValueError(f"{self.name} has no parent and no span")
            self._span = self.parent.span.child(self._title(), SpanKind.INTERNAL, self._attributes(), self.start_ns)
        return self._span

    def settle(self) -> None:
        """End the span of one that is over."""
        span = self.span
        if self.error_type is not None:
            span.attributes[sc.ERROR_TYPE] = self.error_type
            span.error = self.error or ""
        span.end(self.end_ns or self.start_ns)

    def _own_place(self) -> str:
        return self.name

    def _title(self) -> str:
        return self.name

    def _attributes(self) -> dict[str, Any]:
        return {}


class _Chain(Node):
    __slots__ = ()

    def __init__(self, root: Span) -> None:
        super().__init__(None, "", root.start_ns)
        self._span = root
        self._place = ""


class _Step(Node):
    __slots__ = ("graph", "number", "path")

    def __init__(self, parent: Node, tag: str, graph: UUID | None, metadata: dict[str, Any], start_ns: int) -> None:
        super().__init__(parent, str(metadata.get("langgraph_node", "node")), start_ns)
        self.number = tag
        self.graph = graph
        self.path = metadata.get("langgraph_path")

    def _own_place(self) -> str:
        """Its node; fan-out branches of one node are told apart by their index."""
        path: tuple[Any, ...] = tuple(self.path or ())
        fan_out = len(path) > 1 and path[0] == "__pregel_push" and isinstance(path[1], int)
        return f"{self.name}[{path[1]}]" if fan_out else self.name

    def _title(self) -> str:
        return f"step {self.name}"

    def _attributes(self) -> dict[str, Any]:
        return {
            sc.STEP_NODE: self.name,
            sc.STEP_NUMBER: int(self.number[len(_STEP_TAG) :]),
            sc.STEP_PLACE: self.place,
            sc.STEP_GRAPH: str(self.graph or ""),
        }


class _Tool(Node):
    __slots__ = ("call_id",)

    def __init__(self, parent: Node, name: str, call_id: str | None, start_ns: int) -> None:
        super().__init__(parent, name, start_ns)
        self.call_id = call_id

    def _title(self) -> str:
        return f"{sc.OP_EXECUTE_TOOL} {self.name}"

    def _attributes(self) -> dict[str, Any]:
        attributes = {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: self.name, sc.TOOL_TYPE: "function"}
        if self.call_id:
            attributes[sc.TOOL_CALL_ID] = self.call_id
        return attributes


class GraphHandler(BaseCallbackHandler):
    """Turns the callbacks of one chain into `step` and `execute_tool` spans."""

    run_inline = True  # in the caller's task: another thread's clock readings would come late
    ignore_llm = True  # calls are seen at the wire
    ignore_chat_model = True
    ignore_retriever = True
    ignore_custom_event = True

    def __init__(self, clock: Clock, cost: Cost, root: Span) -> None:
        self._now_ns = clock.now_ns
        self._cost = cost
        self._root = _Chain(root)
        self._nodes: dict[UUID | None, Node] = {None: self._root}
        self._open: dict[UUID, Node] = {}
        self._ended: list[Node] = []
        self._events = 0

    def current(self) -> Node:
        """The node in whose run the calling code is; the root outside of any."""
        config = var_child_runnable_config.get()
        run_id = getattr(config.get("callbacks"), "parent_run_id", None) if config else None
        return self._nodes.get(run_id, self._root)

    # --- runs of graphs, nodes and everything else that LangChain calls a chain -----------------------

    def on_chain_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002
        inputs: Any,  # noqa: ARG002
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Open a step if the run is a graph node's; remember whose child it is in any case."""
        began_ns = self._timed()
        parent = self._nodes.get(parent_run_id, self._root)
        for tag in tags or ():
            if tag.startswith(_STEP_TAG):
                self._open[run_id] = parent = _Step(parent, tag, parent_run_id, metadata or {}, self._now_ns())
                break
        self._nodes[run_id] = parent
        if began_ns:
            self._cost.graph(began_ns)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        """Close the step, if the run was one."""
        self._close(run_id, None)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Close the step as failed, unless the exception is LangGraph's way of passing control on."""
        self._close(run_id, None if _is_control_flow(error) else error)

    # --- tools -----------------------------------------------------------------------------------------

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,  # noqa: ARG002
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tool_call_id: str | None = None,
        **_: Any,
    ) -> None:
        """Open an `execute_tool` span."""
        began_ns = self._timed()
        name = str((serialized or {}).get("name") or "tool")
        parent = self._nodes.get(parent_run_id, self._root)
        self._nodes[run_id] = self._open[run_id] = _Tool(parent, name, tool_call_id, self._now_ns())
        if began_ns:
            self._cost.graph(began_ns)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """Close the tool's span; a tool that handed its error back as text has failed all the same."""
        if getattr(output, "status", None) == "error":
            self._close(run_id, None, error_type="tool_error")
        else:
            self._close(run_id, None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Close the tool's span as failed."""
        self._close(run_id, None if _is_control_flow(error) else error)

    # --- the end ---------------------------------------------------------------------------------------

    def close_all(self, error_type: str) -> None:
        """End what a cancelled or broken-off chain left open."""
        for run_id in reversed(list(self._open)):
            self._close(run_id, None, error_type=error_type)

    def settle(self) -> None:
        """Make the spans of what has ended."""
        ended, self._ended = self._ended, []
        for node in ended:
            node.settle()

    def _close(self, run_id: UUID, error: BaseException | None, error_type: str | None = None) -> None:
        node = self._open.pop(run_id, None)
        if node is None:
            return
        began_ns = self._timed()
        if error is not None:
            node.error_type = type(error).__qualname__
            node.error = clean_message(str(error))
        elif error_type is not None:
            node.error_type = error_type
        node.end_ns = self._now_ns()
        self._ended.append(node)
        if began_ns:
            self._cost.graph(began_ns)

    def _timed(self) -> int:
        """When it is now, by the clock of `cost`, if this event is one of those that are timed; otherwise 0."""
        self._events += 1
        return 0 if self._events % TIME_EVENTS_EVERY else costs.now_ns()


def _is_control_flow(error: BaseException) -> bool:
    langgraph = sys.modules.get("langgraph.errors")
    return langgraph is not None and isinstance(error, langgraph.GraphBubbleUp)


@contextmanager
def spare_models() -> Iterator[None]:
    """Keep the handler off the runs of models, which it ignores: LangChain calls every handler for every token.

    In an async run each such call of a handler that wants none of it costs as much as a turn of the event loop, more
    than all the rest of recording. Only the model's own run is spared: what hangs below it finds the handler as before.
    """
    undo: list[tuple[Any, str, Any]] = []
    try:
        for owner, wrap in ((manager.CallbackManager, _sparing), (manager.AsyncCallbackManager, _sparing_async)):
            for name in ("on_chat_model_start", "on_llm_start"):
                original = vars(owner).get(name)
                if original is not None:
                    setattr(owner, name, wrap(original))
                    undo.append((owner, name, original))
        yield
    finally:
        for owner, name, original in undo:
            setattr(owner, name, original)


def _sparing(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _without_ours(original(self, *args, **kwargs))

    return start


def _sparing_async(original: Callable[..., Any]) -> Callable[..., Any]:
    async def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _without_ours(await original(self, *args, **kwargs))

    return start


def _without_ours(runs: list[Any]) -> list[Any]:
    for run in runs:
        run.handlers = [handler for handler in run.handlers if not isinstance(handler, GraphHandler)]
    return runs
