from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from chromium import Chromium, chromium_path

REPORT = Path(__file__).parents[1] / "report"
if str(REPORT) not in sys.path:
    sys.path.insert(0, str(REPORT))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """One browser for all tests."""
    if chromium_path() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium, and CI must have one: apt-get install chromium")
        pytest.skip("NO CHROMIUM, the HTML report is not tested in a browser: apt-get install chromium")
    running = Chromium(tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture
def browser(chromium):
    """The browser as every test finds it, whatever the one before did with it."""
    chromium.size(1280, 900)
    chromium.prefer("light")
    return chromium
