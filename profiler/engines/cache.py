"""Where provisioned engines and generated models live."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "PROFILER_CACHE_DIR"


def cache_root() -> Path:
    """The user's cache folder of the profiler; PROFILER_CACHE_DIR overrides it. Not created here."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_path("agent-chain-profiler"))


def engines_root() -> Path:
    """One folder per provisioned engine."""
    return cache_root() / "engines"


def models_root() -> Path:
    """One folder per generated model."""
    return cache_root() / "models"
