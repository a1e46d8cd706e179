"""A directory for one play, of which nothing is left, whoever is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "actorfl-chaos-"


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
    path, lock = _made(within or place())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _made(within: Path) -> tuple[Path, int]:
    """A new directory, and the descriptor that locks it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=within))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)  # somebody swept it before it was locked


def sweep(within: Path | None = None) -> None:
    """Remove the directories of plays whose processes are dead; of this user alone.

    Args:
        within: where they are looked for; ``place()`` where not given.
    """
    for path in (within or place()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or somebody else removes it now
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
