"""What was expected beside what came, and whether that holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One number of ours beside the one to reproduce.

    Attributes:
        name: what it is.
        ours: ours; NaN where the run did not get so far.
        reference: the number to reproduce; for ``at_least`` the bound itself; NaN where nobody has
            stated one and ours is shown beside the others.
        within: how far ours may be from it; None where nothing is promised and it is only shown.
        at_least: whether ours may also be any number above the reference.
        sd: standard deviation over the seeds; 0 where there is one.
        form: how the numbers are printed.
    """

    name: str
    ours: float
    reference: float = math.nan
    within: float | None = None
    at_least: bool = False
    sd: float = 0.0
    form: str = ".3f"

    @property
    def gated(self) -> bool:
        return self.within is not None or self.at_least

    @property
    def holds(self) -> bool:
        """Whether ours is where it must be; true of what is only shown."""
        if self.at_least:
            return self.ours >= self.reference
        return self.within is None or abs(self.ours - self.reference) <= self.within

    def line(self, width: int) -> str:
        ours = f"{self.ours:{self.form}}"
        spread = f" ± {self.sd:{self.form}}" if self.sd else ""
        known = not math.isnan(self.reference)
        reference = f"{self.reference:{self.form}}" if known else "-"
        if self.at_least:
            gate = f">= {reference}"
        else:
            gate = "shown" if self.within is None else f"± {self.within:g}"
        verdict = "" if not self.gated else "holds" if self.holds else "MISSED"
        return f"{self.name:<{width}} {ours + spread:<19} {reference:<10} {gate:<10} {verdict}"


def report(rows: Sequence[Row]) -> None:
    """Print all rows, and a last line that counts the gates."""
    width = max(len(row.name) for row in rows)
    print(f"{'what':<{width}} {'ours':<19} {'reference':<10} {'gate':<10}")
    for row in rows:
        print(row.line(width).rstrip())
    gated = [row for row in rows if row.gated]
    missed = sum(not row.holds for row in gated)
    print(f"{len(gated) - missed} of {len(gated)} gates hold")


def write(rows: Iterable[Row], file: Path) -> None:
    """Write the rows as a list of JSON objects; null where there is no number."""
    records = [{**asdict(row), "holds": row.holds, "gated": row.gated} for row in rows]
    for record in records:
        for key in ("ours", "reference", "sd"):
            if not math.isfinite(record[key]):
                record[key] = None
    file.write_text(json.dumps(records, indent=1) + "\n")
