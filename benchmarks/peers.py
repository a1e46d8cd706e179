"""Other actor libraries beside ours: rows 4, 5, 7 and 8 of docs/performance.md.

    python -m benchmarks.peers [--repetitions 5] [--json FILE]

Tells and asks of 100 bytes to one counting actor, in one process and between two, as far as each
library goes. ``pip install "actorfl[bench]"`` brings them; one that is missing is left out with a
sentence. Each measurement is a process of its own, under a limit, and all take their turns.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.libraries.pace import Rates
from benchmarks.report import Row, Trials

LIMIT = 120
"""Seconds for one measurement: most take five, and Ray's start on a busy machine a minute."""
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Place:
    """Where the actor is, and in which rows its tells and asks stand."""

    name: str
    words: str
    tell: str
    ask: str


PLACES = (
    Place("inside", "in one process", "5", "8"),
    Place("across", "between processes", "4", "7"),
)

# What a library reaches, and what its tells and asks must be behind ours; "" for no target.
CONTESTANTS = {
    ("inside", "pykka"): (">= 3", "<= 0.8"),
    ("inside", "xoscar"): ("", ""),
    ("inside", "thespian"): ("", ""),
    ("inside", "actio"): ("", ""),
    ("across", "xoscar"): (">= 30", "<= 0.8"),
    ("across", "thespian"): (">= 150", ""),
    ("across", "ray"): (">= 100", "<= 0.2"),
}
ABSENT = {
    ("across", "pykka"): "its actors do not leave their process",
    ("across", "actio"): "between processes it needs a server of Redis or RabbitMQ",
    ("inside", "ray"): "its actors are always in a process of their own",
}


def measured(name: str, place: str) -> Rates | None:
    """One measurement in a process of its own; None, and why, where it came to nothing."""
    command = [sys.executable, "-m", "benchmarks.libraries", name, place]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, error = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, error = "", f"it took longer than {LIMIT} s"
    end_orphans()
    try:
        rates: Rates = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        why = error.strip().splitlines() or ["it said nothing"]
        print(f"{name} {place}: no result: {why[-1]}", flush=True)
        return None
    return rates


def adopt_orphans() -> None:
    """Have what a library leaves behind become children of this process, so that it can end it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """End the children that are left, and theirs, by their process ids."""
    tasks = Path("/proc/self/task")
    while pids := [
        int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()
    ]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        time.sleep(0.01)  # their own children become ours


def compare(place: Place, names: list[str], trials: int) -> list[Row]:
    contestants = ("actorfl", *names)
    tells, asks = Trials(contestants), Trials(contestants)
    failed: set[str] = set()
    for repetition in range(trials):
        for name in tells.order(repetition):
            if name in failed:
                continue
            rates = measured(name, place.name)
            if rates is None:
                failed.add(name)
                continue
            tells.add(name, rates["tells"])
            asks.add(name, rates["ask"])
    kept = [name for name in names if name not in failed]
    rows: list[Row] = []
    for what, row, unit, found, at in (
        ("tell", place.tell, "/s", tells.medians(), 0),
        ("ask", place.ask, "us", asks.medians(), 1),
    ):
        rows += [
            Row(
                row,
                f"{what} {place.words}, {unit} vs {name}",
                found["actorfl"],
                found[name],
                CONTESTANTS[place.name, name][at],
            )
            for name in kept
        ]
    return rows


def main() -> None:
    arguments = report.parser(__doc__, repetitions=5).parse_args()
    adopt_orphans()
    missing = [
        name
        for name in sorted({name for _, name in CONTESTANTS})
        if importlib.util.find_spec(name) is None
    ]
    for name in missing:
        print(f'{name} is left out: it is not installed; pip install "actorfl[bench]" brings it')
    rows: list[Row] = []
    for place in PLACES:
        for (where, name), why in ABSENT.items():
            if where == place.name and name not in missing:
                print(f"{name} is left out {place.words}: {why}")
        names = [name for where, name in CONTESTANTS if where == place.name and name not in missing]
        rows += compare(place, names, max(arguments.repetitions, 5))
    report.head()
    for row in sorted(rows, key=lambda row: row.row):
        report.line(row)
    report.write(rows, arguments.json)


if __name__ == "__main__":
    main()
