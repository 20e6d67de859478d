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
from profiler.record.cost import Cost
from profiler.record.spans import Span
from profiler.record.text import clean_message

_STEP_TAG = "graph:step:"

active_handler: ContextVar[GraphHandler | None] = ContextVar("profiler_graph_handler", default=None)
register_configure_hook(active_handler, inheritable=True)


class Node:
    """A span that others can hang below, and the node path that it stands for."""

    __slots__ = ("place", "span")

    def __init__(self, span: Span, place: str) -> None:
        self.span = span
        self.place = place


class GraphHandler(BaseCallbackHandler):
    """Turns the callbacks of one chain into `step` and `execute_tool` spans."""

    run_inline = True  # in the caller's task: another thread's clock readings would come late
    ignore_llm = True  # calls are seen at the wire
    ignore_chat_model = True
    ignore_retriever = True
    ignore_custom_event = True

    def __init__(self, clock: Clock, cost: Cost, root: Span) -> None:
        self._clock = clock
        self._cost = cost
        self._root = Node(root, "")
        self._nodes: dict[UUID, Node] = {}
        self._open: dict[UUID, Span] = {}

    def current(self) -> Node:
        """The node in whose run the calling code is; the root outside of any."""
        config = var_child_runnable_config.get()
        run_id = getattr(config.get("callbacks"), "parent_run_id", None) if config else None
        return self._nodes.get(run_id, self._root) if run_id else self._root

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
        began_ns = costs.now_ns()
        parent = self._parent(parent_run_id)
        for tag in tags or ():
            if tag.startswith(_STEP_TAG):
                node, place = _place(parent.place, metadata or {})
                attributes = {
                    sc.STEP_NODE: node,
                    sc.STEP_NUMBER: int(tag[len(_STEP_TAG) :]),
                    sc.STEP_PLACE: place,
                    sc.STEP_GRAPH: str(parent_run_id or ""),
                }
                self._start(run_id, parent, f"step {node}", place, attributes)
                break
        else:
            self._nodes[run_id] = parent
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
        began_ns = costs.now_ns()
        parent = self._parent(parent_run_id)
        name = str((serialized or {}).get("name") or "tool")
        attributes = {sc.OPERATION: sc.OP_EXECUTE_TOOL, sc.TOOL_NAME: name, sc.TOOL_TYPE: "function"}
        if tool_call_id:
            attributes[sc.TOOL_CALL_ID] = tool_call_id
        place = f"{parent.place}/{name}" if parent.place else name
        self._start(run_id, parent, f"{sc.OP_EXECUTE_TOOL} {name}", place, attributes)
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

    def _parent(self, run_id: UUID | None) -> Node:
        return self._nodes.get(run_id, self._root) if run_id else self._root

    def _start(self, run_id: UUID, parent: Node, name: str, place: str, attributes: dict[str, Any]) -> None:
        span = parent.span.child(name, SpanKind.INTERNAL, attributes, self._clock.now_ns())
        self._nodes[run_id] = Node(span, place)
        self._open[run_id] = span

    def _close(self, run_id: UUID, error: BaseException | None, error_type: str | None = None) -> None:
        span = self._open.pop(run_id, None)
        if span is None:
            return
        began_ns = costs.now_ns()
        if error is not None:
            error_type = type(error).__qualname__
            span.error = clean_message(str(error))
        elif error_type is not None:
            span.error = ""
        if error_type is not None:
            span.attributes[sc.ERROR_TYPE] = error_type
        span.end(self._clock.now_ns())
        self._cost.graph(began_ns)


def _place(parent: str, metadata: dict[str, Any]) -> tuple[str, str]:
    """The node's name, and its path: fan-out branches of one node are told apart by their index."""
    node = str(metadata.get("langgraph_node", "node"))
    path: tuple[Any, ...] = tuple(metadata.get("langgraph_path") or ())
    fan_out = len(path) > 1 and path[0] == "__pregel_push" and isinstance(path[1], int)
    own = f"{node}[{path[1]}]" if fan_out else node
    return node, f"{parent}/{own}" if parent else own


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
