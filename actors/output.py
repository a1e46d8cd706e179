"""Where what processes print goes when nobody asked for it: to standard error, with their names."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

from transports import Clock

LINES: Final = 1_000
"""Lines of one process that are shown in a second, each of at most ``spawner.MAX_LINE`` bytes."""


class Output:
    """Shows the lines of a launcher's processes as ``p0: line``, and no flood of them.

    Args:
        clock: of the launcher.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: By process: when its second began, and how many lines it has had in it.
        self._seconds: dict[str, tuple[float, int]] = {}

    def show(self, node: str, line: str) -> None:
        """A process printed a line."""
        now = self._clock.now()
        since, count = self._seconds.get(node, (now, 0))
        if now - since >= 1.0:
            self._left_out(node, count)
            since, count = now, 0
        self._seconds[node] = since, count + 1
        if count < LINES:
            _write(f"{node}: {line}\n")

    def close(self) -> None:
        """There is nothing more to come."""
        for node, (_, count) in self._seconds.items():
            self._left_out(node, count)
        self._seconds.clear()

    def _left_out(self, node: str, count: int) -> None:
        if count > LINES:
            _write(
                f"{node}: ({count - LINES} more lines within a second are not shown; "
                "start(on_line=…) gets all)\n"
            )

    def __repr__(self) -> str:
        return f"<Output of {len(self._seconds)} processes>"


def _write(text: str) -> None:
    # None where there is no console; a closed one must not cost the processes their launcher.
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
