"""Imports that break off go on from there."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from profiler.errors import StoreError
from profiler.exchange import intake
from profiler.exchange.intake import Intake, is_begun
from profiler.store.reader import load_run
from traces import chain


def test_an_import_whose_manifest_could_not_be_written_goes_on(tmp_path, monkeypatch):
    def full(*_):
        raise StoreError("the disk is full")

    folder = tmp_path / "run"
    with Intake(folder, {"url": "x"}) as first, monkeypatch.context() as patch:
        first.add(chain())
        first.reached({"at": 1})
        patch.setattr(intake, "write_manifest", full)
        with pytest.raises(StoreError, match="full"):
            first.finish("x")
    assert is_begun(folder)
    with Intake(folder, {"url": "x"}) as second:
        assert (second.resumed, second.traces) == (True, 1)
        second.finish("x")
    assert len(load_run(folder).tables.chains) == 1
