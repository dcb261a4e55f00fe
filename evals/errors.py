"""User mistakes, told in one sentence: where, what was got, what was expected, the remedy.

The command line prints `str(error)` without a traceback and exits with `exit_code`.
Anything else that is raised is our own fault and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. `exit_code` 2 (usage) unless a subclass says otherwise."""

    exit_code = 2


class SuiteError(UserError):
    """A suite file that does not fit the schema; the message starts with `file:line: key:`."""


class PluginError(UserError):
    """A named plugin that is unknown, broken or defined twice."""


class DataError(UserError):
    """A data file or an image that is missing or malformed."""


class StoreError(UserError):
    """A run folder that is incomplete, damaged, or made with other settings."""

    exit_code = 3


class ModelError(UserError):
    """A checkpoint, detector or judge that cannot be loaded, with what to fetch and where to put it."""


class CanaryError(UserError):
    """A scorer that failed its self-check before a single score was written."""

    exit_code = 3


class RoleError(Exception):
    """A role could not look at this one output, since the judge behind it failed; the next output may fare better.

    Args:
        message: one sentence.
        outcome: what becomes of the score: `judge_error`, `judge_unparsed` or `refused`.
    """

    def __init__(self, message: str, *, outcome: str) -> None:
        super().__init__(message)
        self.outcome = outcome


def sentence(error: BaseException) -> str:
    """Return an exception as one line; a user error as it is, anything else with its type.

    >>> sentence(ValueError("no\\nway")), sentence(UserError("x: got 1; expected 2."))
    ('ValueError: no way', 'x: got 1; expected 2.')
    """
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
