"""What ties a child process to its launcher: no node survives the process that started it.

Two ties, because each has a hole. ``PR_SET_PDEATHSIG`` works even while training holds the GIL,
but only on Linux, and it fires when the *thread* that spawned ends. End-of-file on an inherited
pipe works everywhere, but needs the GIL for a moment, and a copy of the pipe in a forked
stranger keeps it open. The same pipe carries the configuration first.

Only the standard library is imported here: a child attaches before it loads anything heavy.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from collections.abc import Sequence

ORPHANED = 128 + signal.SIGHUP
"""Exit code of a child whose launcher is gone: as a shell reports a hang-up."""

MAX_CONFIG = 64 << 20
"""Bytes: far above any graph, and a garbled length then cannot make a child allocate for ever."""

_MAX_PATH = 1 << 20
_HEAD = struct.Struct(">4sIII")
_MAGIC = b"AFL1"
_PR_SET_PDEATHSIG = 1


class LifelineError(Exception):
    """Standard input does not carry what a launcher sends; the process was started by hand."""


def encode(config: bytes, *, parent: int, path: Sequence[str]) -> bytes:
    """What a launcher writes to the child's standard input before it keeps it open.

    Args:
        config: opaque bytes, at most `MAX_CONFIG`.
        parent: process id of the launcher.
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
    return _HEAD.pack(_MAGIC, parent, len(entries), len(config)) + entries + config


def attach() -> bytes:
    """Tie this process to its launcher and receive the configuration.

    To be called once, first thing in the child: it ignores SIGINT (Ctrl-C reaches the launcher,
    which then ends its children in order), takes over ``sys.path``, and moves the pipe off
    standard input, which becomes empty for the code that follows.

    Returns:
        The configuration as the launcher gave it.

    Raises:
        LifelineError: standard input does not start as a launcher's does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    pipe = _take_standard_input()
    head = _read_exactly(pipe, _HEAD.size)
    magic, parent, path_length, config_length = _HEAD.unpack(head)
    if magic != _MAGIC or path_length > _MAX_PATH or config_length > MAX_CONFIG:
        raise LifelineError(
            "standard input does not carry a launcher's configuration; "
            "this module is started by a spawner, not by hand"
        )
    entries = _read_exactly(pipe, path_length)
    config = _read_exactly(pipe, config_length)
    # Asked after prctl: a launcher that died before it would send no signal any more.
    if os.getppid() != parent:
        os._exit(ORPHANED)
    if entries:
        sys.path[:] = [os.fsdecode(entry) for entry in entries.split(b"\0")]
    threading.Thread(target=_watch, args=(pipe,), name="lifeline", daemon=True).start()
    return config


def _die_with_parent() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # A sandbox may refuse prctl; the pipe is then the only tie, which is what it is there for.
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _take_standard_input() -> int:
    # On a private descriptor no user code that reads input can swallow the pipe, and no helper
    # process inherits it.
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return pipe


def _read_exactly(pipe: int, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        piece = os.read(pipe, min(count - len(received), 1 << 16))
        if not piece:
            os._exit(ORPHANED)
        received += piece
    return bytes(received)


def _watch(pipe: int) -> None:
    try:
        while os.read(pipe, 4096):
            pass
    except OSError:
        pass
    # The helpers that this process started share its group and have nobody else to end them.
    # No output here: standard output may be a pipe that nobody reads.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(ORPHANED)
