"""Recorded runs in Python: `profiler.load`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from profiler.analysis.explain import Explanation, explain
from profiler.analysis.facts import facts_of
from profiler.analysis.finding import Finding
from profiler.analysis.model import Trace
from profiler.store.manifest import Manifest
from profiler.store.reader import load_run


class Run:
    """A recorded run: its metric tables, and what they say.

    docs/tables.md describes each table's columns: types, units, meaning, and when a value is missing. The tables are
    of all chains, of warm-up (`warmup`) and failed ones (`failed`, in the other tables `chain_failed`) too.
    """

    def __init__(self, path: str | os.PathLike[str], *, cache: bool = True) -> None:
        """See `profiler.load`."""
        self._run = load_run(Path(path), use_cache=cache)

    def __repr__(self) -> str:
        """Where it is and how much there is."""
        return f"<Run {str(self.path)!r}: {len(self.chains)} chains, {len(self.calls)} calls>"

    @property
    def path(self) -> Path:
        """As it was given."""
        return self._run.path

    @property
    def manifest(self) -> Manifest | None:
        """Agent, engine, machine and flags; None for a file of spans from elsewhere."""
        return self._run.manifest

    @property
    def notes(self) -> Sequence[str]:
        """What was wrong with the file, in words."""
        return self._run.notes

    @property
    def chains(self) -> pd.DataFrame:
        """A row per chain, by start."""
        return self._run.tables.chains

    @property
    def calls(self) -> pd.DataFrame:
        """A row per attempt of an LLM call, by chain and start."""
        return self._run.tables.calls

    @property
    def steps(self) -> pd.DataFrame:
        """A row per step of a chain in which it calls a model or uses tools, by chain and position."""
        return self._run.tables.steps

    @property
    def tools(self) -> pd.DataFrame:
        """A row per execution of a tool, by chain and start."""
        return self._run.tables.tools

    @property
    def gaps(self) -> pd.DataFrame:
        """A row per piece of a chain in which it waited neither for a call nor for a tool, by chain and start."""
        return self._run.tables.gaps

    @property
    def repairs(self) -> pd.DataFrame:
        """A row per kind of repair that a trace needed before it could be analysed."""
        return self._run.tables.repairs

    @cached_property
    def explanation(self) -> Explanation:
        """Everything that a report shows."""
        return explain(self._run.tables, facts=facts_of(self.manifest.engine) if self.manifest is not None else None)

    @property
    def findings(self) -> Sequence[Finding]:
        """What makes the chains slow, by what there is to gain."""
        return self.explanation.findings

    def trace(self, trace_id: str) -> Trace:
        """The spans of one chain, as a tree.

        Raises:
            DataError: there is no such chain.
        """
        return self._run.read_traces([trace_id])[0]
