"""User-facing errors of `uniar`: one sentence that says where, what was got, what was expected, and the remedy.

    UniARError             what a caller catches; the command line prints it without a traceback
    ├── ConfigError        a config.json or recipe value that cannot be used
    ├── CheckpointError    files that are missing, or tensors that do not fit the config
    ├── InputError         a prompt, image or setting of a call
    └── TrainingError      a run that cannot go on (divergence, damaged resume state)
"""

from __future__ import annotations


class UniARError(Exception):
    """Base class; `str(error)` is the whole message."""


class ConfigError(UniARError):
    """A configuration value that cannot be used; names file, key and value."""


class CheckpointError(UniARError):
    """A checkpoint folder that is incomplete or does not fit its config; lists the tensor names."""


class InputError(UniARError):
    """An argument of a call that cannot be honoured."""


class TrainingError(UniARError):
    """A training run that cannot go on, with the last good checkpoint named."""
