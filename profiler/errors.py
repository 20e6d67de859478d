"""Every error that a user can meet, with its exit code.

    ProfilerError
    ├── UsageError            2   the command line, or something it names, is wrong
    │   └── AgentLoadError    2   the agent's file cannot be turned into an agent
    ├── DataError             3   a file is not what it should be, or lacks what is asked of it
    │   ├── ScriptMismatch    3   the agent asked for a call that the script lacks
    │   └── StoreError        3   the run could not be written
    ├── EngineError           4   no engine to talk to
    │   ├── EngineUnavailable 4   it cannot be reached, started or provisioned
    │   └── EngineDied        4   it was there and is gone
    ├── BackendUnavailable    4   a collector or a trace viewer cannot be reached, or refuses
    └── Interrupted         130   Ctrl-C

A message says what is wrong, with which file or address; the remedy says what to do next.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_REGRESSION = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_ENGINE = 4
EXIT_INTERRUPTED = 130


class ProfilerError(Exception):
    """Base of all errors that are shown to the user without a traceback."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, *, remedy: str | None = None, details: str | None = None) -> None:
        """Keep the parts apart, so that the command line can lay them out.

        Args:
            message: what is wrong, and with which file or address.
            remedy: what to do next, one sentence or a command.
            details: verbatim evidence, such as the last lines of a log.
        """
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details


class UsageError(ProfilerError):
    """The command line, or something that it names, is wrong."""


class AgentLoadError(UsageError):
    """The agent's file cannot be turned into an agent."""


class DataError(ProfilerError):
    """A file is not what it should be, or lacks what is asked of it."""

    exit_code = EXIT_DATA


class ScriptMismatch(DataError):
    """The agent asked for a call that the script does not have."""


class StoreError(DataError):
    """The run could not be written."""


class EngineError(ProfilerError):
    """There is no engine to talk to."""

    exit_code = EXIT_ENGINE


class EngineUnavailable(EngineError):
    """The engine cannot be reached, started or provisioned."""


class EngineDied(EngineError):
    """The engine was there and is gone."""


class BackendUnavailable(ProfilerError):
    """A collector or a trace viewer cannot be reached, or refuses."""

    exit_code = EXIT_ENGINE


class Interrupted(ProfilerError):
    """The user pressed Ctrl-C."""

    exit_code = EXIT_INTERRUPTED
