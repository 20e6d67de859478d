from __future__ import annotations

import os
from unittest import mock

import pytest
from cli_helpers import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    with mock.patch.dict(os.environ):  # a run points the agent's clients at its engine
        yield Bench(tmp_path, capsys)
