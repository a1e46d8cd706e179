"""What the processes of a benchmark hold and compute: this one and all below it, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def family() -> Iterator[Path]:
    """The directories in /proc of this process and of all below it."""
    todo = ["self"]
    while todo:
        process = Path("/proc") / todo.pop()
        yield process
        for task in (process / "task").iterdir():
            todo += (task / "children").read_text().split()


def busy() -> float:
    """Seconds of processor time that they have used so far, in ticks of 10 ms as a rule."""
    ticks = 0
    for process in family():
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def kibibytes() -> float:
    """What they hold, shared pages by their share."""
    total = 0
    for process in family():
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return float(total)
