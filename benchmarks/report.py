"""What the benchmarks share: alternating trials, rows, the table and the JSON."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measurement beside its yardstick, which was taken in the same run.

    Attributes:
        row: id of the target in docs/performance.md.
        name: what was measured, with its unit.
        ours, yardstick: medians.
        floor: what the ratio must be, or ours where it has a unit; "" for no target.
        goal: what the ratio may become.
    """

    row: str
    name: str
    ours: float
    yardstick: float
    floor: str = ""
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the floor is; None where there is none."""
        if not self.floor:
            return None
        sense, bound, *unit = self.floor.split()
        found = self.ours if unit else self.ratio
        return found >= float(bound) if sense == ">=" else found <= float(bound)

    @property
    def ratio(self) -> float:
        """Of ours to the yardstick; 1 where both are nothing."""
        if not self.yardstick:
            return math.inf if self.ours else 1.0
        return self.ours / self.yardstick


class Trials:
    """Measurements by contestant; each takes its turn at each place, and medians count."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._found: dict[str, list[float]] = {name: [] for name in self.names}

    def order(self, repetition: int) -> tuple[str, ...]:
        """Who goes when: what runs after a heavy one finds caches and cores as that left them."""
        shift = repetition % len(self.names)
        return self.names[shift:] + self.names[:shift]

    def add(self, name: str, value: float) -> None:
        self._found[name].append(value)

    def medians(self) -> dict[str, float]:
        """Of those that have any."""
        return {name: statistics.median(values) for name, values in self._found.items() if values}

    def spread(self) -> Mapping[str, tuple[float, float]]:
        return {name: (min(values), max(values)) for name, values in self._found.items()}


def parser(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    found.add_argument(
        "--repetitions", type=int, default=repetitions, help="at least 5; medians are taken"
    )
    return found


def head(width: int = 62) -> None:
    numbers = f"{'ours':>10} {'yardstick':>10} {'ratio':>7}"
    print(f"{'row':>4}  {'what':<{width}} {numbers}  {'floor':<9} goal")


def line(row: Row, width: int = 62) -> None:
    print(
        f"{row.row:>4}  {row.name:<{width}} {row.ours:>10.4g} {row.yardstick:>10.4g} "
        f"{row.ratio:>7.{_digits(row.ratio)}f}  {row.floor:<9} "
        f"{'' if row.goal is None else f'{row.goal:g}':<6} {_VERDICT[row.met]}".rstrip(),
        flush=True,
    )


_VERDICT = {True: "met", False: "MISSED", None: ""}


def _digits(ratio: float) -> int:
    """Behind the point: small ratios would else all be 0.00."""
    return 2 if ratio >= 0.1 else 4


def tell(rows: Iterable[Row], file: Path | None) -> int:
    """Print each row as soon as it is there, write all of them; the exit code."""
    head()
    found: list[Row] = []
    for row in rows:
        found.append(row)
        line(row)
    write(found, file)
    return status(found)


def status(rows: Iterable[Row]) -> int:
    """The exit code: 1 where a floor was missed, else 0."""
    return int(any(row.met is False for row in rows))


def write(rows: Iterable[Row], file: Path | None) -> None:
    """Write the rows as JSON, where a file was asked for."""
    if file is None:
        return
    records = [
        {
            "row": row.row,
            "name": row.name,
            "ours": round(row.ours, 6),
            "yardstick": round(row.yardstick, 6),
            "ratio": round(row.ratio, 4) if math.isfinite(row.ratio) else None,
            "floor": row.floor,
            "goal": row.goal,
            "met": row.met,
        }
        for row in rows
    ]
    file.write_text(json.dumps(records, indent=1) + "\n")
