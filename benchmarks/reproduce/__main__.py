"""Reproduce what others have measured: ours beside the reference, with a gate where one is set.

    python -m benchmarks.reproduce EXPERIMENT [--json FILE] [--jobs N]

Ends with 0 where all gates hold, with 1 where one is missed, with 2 where the command line was not
understood or data are missing.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from actorfl.errors import MissingFile
from benchmarks.reproduce import gates, running

EXPERIMENTS = (
    "digits",
    "attack",
    "drift",
    "fashion",
    "spambase",
    "esn",
    "topology-table",
    "dpsgd",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduce",
        description="Reproduce what others have measured: ours beside the reference.",
        epilog="Exit codes: 0 all gates hold, 1 one is missed, 2 usage, or data are missing.",
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument(
        "--jobs", type=int, default=running.cores(), metavar="N",
        help="runs at a time, each in its process (%(default)s)",
    )  # fmt: skip
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs is at least 1")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"there is no directory {options.json.absolute().parent} for --json")
    module = options.experiment.replace("-", "_")
    experiment = importlib.import_module(f"benchmarks.reproduce.{module}")
    try:
        rows = experiment.rows(options.jobs)
    except MissingFile as error:
        parser.error(str(error))
    gates.report(rows)
    if options.json is not None:
        gates.write(rows, options.json)
    sys.exit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
