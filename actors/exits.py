"""How a process ended, as data, and the sentence that says it."""

from __future__ import annotations

import contextlib
import os
import signal as signals
from pathlib import Path

import msgspec

from actors.signals import Cause

_PLAIN_WORDS = {
    signals.SIGSEGV: "segmentation fault",
    signals.SIGBUS: "bus error",
    signals.SIGFPE: "arithmetic fault",
    signals.SIGILL: "illegal instruction",
    signals.SIGABRT: "aborted",
}


class Exit(msgspec.Struct, frozen=True):
    """How a process ended.

    Attributes:
        code: exit code, 0 to 255; None where a signal ended it or the status is unknown.
        signal: number of the signal that ended it; None where it exited by itself.
        out_of_memory: the kernel most likely killed it for lack of memory; see `OomCounter`
            for what can and cannot be known.
    """

    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False

    @classmethod
    def from_wait_status(cls, status: int, *, out_of_memory: bool = False) -> Exit:
        """Translate what ``os.waitpid`` reports; only a SIGKILL can be for lack of memory."""
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return cls(code=code)
        return cls(signal=-code, out_of_memory=out_of_memory and -code == signals.SIGKILL)

    @property
    def clean(self) -> bool:
        """Whether the process exited by itself with code 0."""
        return self.code == 0

    @property
    def cause(self) -> Cause:
        """The same as one of a few words."""
        if self.out_of_memory:
            return "out_of_memory"
        return "exited" if self.signal is None else "killed"

    def describe(self) -> str:
        """Say it in words, as the end of a sentence: ``killed by signal 9 (SIGKILL)``."""
        if self.out_of_memory:
            return "killed by the kernel for lack of memory"
        if self.signal is not None:
            plain = _PLAIN_WORDS.get(self.signal)  # type: ignore[call-overload]  # int == Signals
            if plain is not None:
                return f"{plain} (signal {self.signal})"
            try:
                name = signals.Signals(self.signal).name
            except ValueError:  # real-time signals have no name
                return f"killed by signal {self.signal}"
            return f"killed by signal {self.signal} ({name})"
        if self.code is None:
            return "ended, but other code in this process had collected its exit status"
        return f"exit code {self.code}"


class OomCounter:
    """Counts processes that the kernel killed for lack of memory around this process.

    The kernel tells a parent no more than "SIGKILL"; the only public trace is a counter. It is
    read from the memory cgroup of this process, which its children share (cgroup v2
    ``memory.events``, v1 ``memory.oom_control``), else from ``/proc/vmstat``, which counts the
    whole machine. A rise between two readings says that *somebody* in the group was killed:
    a child that was killed by hand within the same moment is mistaken for a victim, and a child
    that moved to a cgroup of its own is missed.

    Args:
        source: file to read, lines of ``key value``; found by itself when None.
    """

    def __init__(self, source: Path | None = None) -> None:
        self._source = source if source is not None else _find_counter()

    def read(self) -> int | None:
        """Kills so far; None where this system does not tell."""
        if self._source is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            for line in self._source.read_text("ascii").splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return None

    def __repr__(self) -> str:
        return f"<OomCounter {self._source or 'without a source'}: {self.read()}>"


def _find_counter() -> Path | None:
    for candidate in (*_cgroup_candidates(), Path("/proc/vmstat")):
        if OomCounter(candidate).read() is not None:
            return candidate
    return None


def _cgroup_candidates() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, file = Path("/sys/fs/cgroup"), "memory.events"
        elif "memory" in controllers.split(","):
            base, file = Path("/sys/fs/cgroup/memory"), "memory.oom_control"
        else:
            continue
        # Inside a container the path is the host's, and the mount's own root is our group.
        found += [base / path.lstrip("/") / file, base / file]
    return found
