"""What ties a child process to its launcher: no node survives the process that started it.

The configuration comes over standard input. Beside it the child inherits a pipe through which
nothing ever goes; the launcher keeps its other end open, and its end means that the launcher is
gone. Two parties watch it, because each has a hole:

- The kernel sends SIGKILL to the whole process group when the pipe ends (``O_ASYNC`` with
  ``F_SETSIG``, Linux). It needs no GIL, which training may hold, and takes along the helpers that
  this process started. A stranger that the launcher forked may hold a copy of the pipe open. It
  is a pipe of its own since any event on it kills, and a write tells of itself only after its
  bytes can be read (measured: 1 of 330 children that read their configuration from the same pipe
  while it was written, on a busy machine).
- A thread waits for the pipe's end and for the end of the launcher itself (pidfd). It works
  everywhere, but needs the GIL for a moment.

``PR_SET_PDEATHSIG`` guards the time until both stand. It is taken back then: it would kill this
process before the pipe's end is seen, so that its helpers survived (measured: 1 of 6 at once), and
it fires already when the *thread* of the launcher that spawned us ends.

Only the standard library is imported here: a child attaches before it loads anything heavy.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import stat
import struct
import sys
import threading
from collections.abc import Sequence

ORPHANED = 128 + signal.SIGHUP
"""Exit code of a child whose launcher is gone: as a shell reports a hang-up."""

MAX_CONFIG = 64 << 20
"""Bytes: far above any graph, and a garbled length then cannot make a child allocate for ever."""

OOM_SCORE_RISE = 500
"""Added to ``oom_score_adj`` (Linux, -1000 to 1000) in each child: when memory runs out the kernel
takes a child as though it held half of the memory more than it does, so it goes before the
launcher, which holds the supervisors, and before what else this person runs. Not 1000, so that
children of a service that is itself first in line (a batch job) stay comparable among each other
by their size."""

_MOST_OOM_SCORE = 1000
_MAX_PATH = 1 << 20
_HEAD = struct.Struct(">4sIIII")
_MAGIC = b"AFL1"
_PR_SET_PDEATHSIG = 1
_BY_HAND = (
    "standard input does not carry a launcher's configuration; "
    "this module is started by a spawner, not by hand"
)


class LifelineError(Exception):
    """Standard input does not carry what a launcher sends; the process was started by hand."""


def encode(config: bytes, *, parent: int, pipe: int, path: Sequence[str]) -> bytes:
    """What a launcher writes to the child's standard input.

    Args:
        config: opaque bytes, at most `MAX_CONFIG`.
        parent: process id of the launcher.
        pipe: the descriptor under which the child inherits the reading end of its lifeline.
        path: the child's ``sys.path``.

    Raises:
        ValueError: the configuration or the path is too long.
    """
    entries = b"\0".join(os.fsencode(entry) for entry in path)
    if len(config) > MAX_CONFIG:
        raise ValueError(
            f"a configuration of {len(config)} bytes exceeds the {MAX_CONFIG} that a child "
            "process reads; hand large data over in a file"
        )
    if len(entries) > _MAX_PATH:
        raise ValueError(f"sys.path takes {len(entries)} bytes, more than {_MAX_PATH}")
    return _HEAD.pack(_MAGIC, parent, pipe, len(entries), len(config)) + entries + config


def attach() -> bytes:
    """Tie this process to its launcher and receive the configuration.

    To be called once, first thing in the child: it ignores SIGINT (Ctrl-C reaches the launcher,
    which then ends its children in order), is before its launcher in line when memory runs out
    (`OOM_SCORE_RISE`), takes over ``sys.path``, and leaves standard input empty for the code that
    follows.

    Returns:
        The configuration as the launcher gave it.

    Raises:
        LifelineError: standard input does not start as a launcher's does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _be_killed_first()
    _signal_on_parent_death(signal.SIGKILL)
    source = _take_standard_input()
    head = _read_exactly(source, _HEAD.size)
    magic, parent, pipe, path_length, config_length = _HEAD.unpack(head)
    if magic != _MAGIC or path_length > _MAX_PATH or config_length > MAX_CONFIG:
        raise LifelineError(_BY_HAND)
    _take_pipe(pipe)
    entries = _read_exactly(source, path_length)
    config = _read_exactly(source, config_length)
    os.close(source)
    # Asked after prctl: a launcher that died before it would send no signal any more.
    if os.getppid() != parent:
        os._exit(ORPHANED)
    if entries:
        sys.path[:] = [os.fsdecode(entry) for entry in entries.split(b"\0")]
    if _kill_group_at_end_of(pipe):
        _signal_on_parent_death(0)
    threading.Thread(
        target=_watch, args=(pipe, _open_launcher(parent)), name="lifeline", daemon=True
    ).start()
    return config


def _be_killed_first() -> None:
    # Anybody may raise his own; helpers that this process starts inherit it. A sandbox may keep
    # the file from us, and the kernel then chooses by size alone.
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/oom_score_adj", encoding="ascii") as file:  # noqa: PTH123  (pathlib would have to load first)
            now = int(file.read())
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(min(now + OOM_SCORE_RISE, _MOST_OOM_SCORE)))


def _signal_on_parent_death(number: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    # A sandbox may refuse prctl; the pipe is then the only tie, which is what it is there for.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _kill_group_at_end_of(pipe: int) -> bool:
    # Only as leader of a group that the launcher made for us: another group has strangers in it.
    if sys.platform != "linux" or os.getpgrp() != os.getpid():
        return False
    try:
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        return False
    return True


def _open_launcher(parent: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        launcher = os.pidfd_open(parent)
    except ProcessLookupError:
        os._exit(ORPHANED)
    except OSError:  # a kernel before 5.3, or a sandbox without the call
        return None
    if os.getppid() != parent:  # its number may be a stranger's by now
        os._exit(ORPHANED)
    return launcher


def _take_standard_input() -> int:
    # On a private descriptor no user code that reads input can swallow the pipe, and no helper
    # process inherits it.
    try:
        if os.isatty(0):
            raise LifelineError(_BY_HAND)
        pipe = os.dup(0)
    except OSError as error:
        raise LifelineError(_BY_HAND) from error
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return pipe


def _take_pipe(pipe: int) -> None:
    try:
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            raise LifelineError(_BY_HAND)
        os.set_inheritable(pipe, False)  # helpers would not hear of the end if they held it
    except (OSError, OverflowError) as error:
        raise LifelineError(_BY_HAND) from error


def _read_exactly(pipe: int, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        piece = os.read(pipe, min(count - len(received), 1 << 16))
        if not piece:
            os._exit(ORPHANED)
        received += piece
    return bytes(received)


def _watch(pipe: int, launcher: int | None) -> None:
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    if launcher is not None:
        poller.register(launcher, select.POLLIN)
    gone = False
    while not gone:
        for ready, _ in poller.poll():
            gone = gone or ready == launcher or not os.read(pipe, 4096)
    # The helpers that this process started share its group and have nobody else to end them.
    # No output here: standard output may be a pipe that nobody reads.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(ORPHANED)
