"""One process a run folder: an advisory lock on `run.lock`, which the kernel drops however the process ends.

POSIX only (`fcntl`); the file holds the process id for the message and is left behind on purpose: removing it would
let a third process lock another file of the same name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evals.errors import StoreError


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[int]:
    """Hold the lock of a folder; gives the open file's number, and a child that inherits it (`pass_fds`) holds the lock with us.

    Args:
        path: of the lock's file.
        wait: until whoever holds it lets go, instead of refusing.

    Raises:
        StoreError: another process holds it.
    """
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            owner = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            raise StoreError(
                f"{path.parent}: got a run folder in use by process {owner}; expected a free one. "
                "Wait until it has finished, or give another --out."
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
        yield handle
    finally:
        os.close(handle)
