"""A directory for one play, of which nothing is left, whoever is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "actorfl-chaos-"

_UNLOCKED: Final = ".actorfl-chaos-"
"""Of one that is being made: until it is locked, it would be taken for that of a dead process."""

_MAKING: Final = 60.0
"""Seconds after which one that is not locked yet is not being made any more."""


def place() -> Path:
    """A file system without a disk, where there is one: each run writes and syncs a few files."""
    memory = Path("/dev/shm")  # noqa: S108  (directories of our own are made in it)
    return memory if memory.is_dir() else Path(tempfile.gettempdir())


@contextmanager
def scratch(within: Path | None = None) -> Iterator[Path]:
    """A new directory, removed at the end of the block.

    It is locked as long as this process lives, so that `sweep` knows it from those that a process
    left which was killed.

    Args:
        within: where it is made; ``place()`` where not given.
    """
    made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=within or place()))
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    path = made.with_name(PREFIX + made.name.removeprefix(_UNLOCKED))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = made.rename(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(within: Path | None = None) -> None:
    """Remove the directories of plays whose processes are dead; of this user alone.

    Args:
        within: where they are looked for; ``place()`` where not given.
    """
    old = time.time() - _MAKING
    for path in (within or place()).glob(f"*{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or somebody else removes it now
            if path.name.startswith(PREFIX) or path.lstat().st_mtime < old:
                _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    # Not through a link that somebody else put there.
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(lock).st_uid != os.getuid():
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
