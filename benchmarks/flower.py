"""Flower beside ours: rows 20, 21 and 23 of docs/performance.md.

    python -m benchmarks.flower --flower PYTHON [--rounds 12] [--json FILE]

Rounds of FedAvg in Flower's simulation whose clients send back what came, beside the rounds of
``benchmarks.rounds``, as they are and with the clients of a process combined; and its FedAvg over
models that are there, beside exact merging. Flower wants older versions of libraries than the rest,
so it is in an environment of its own, and PYTHON is the interpreter there. Each trial is a process
of its own, under a limit. Where Flower is not there, a sentence says so and nothing is measured.

The exit code is 1 where a floor was missed, 2 where an option is wrong, else 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actorfl.exact import ExactSum
from actorfl.grid import Grid
from benchmarks import peers, report
from benchmarks.merging import resnet50
from benchmarks.report import Row, Trials
from benchmarks.rounds import Case, measured

SCRIPT = Path(__file__).parent / "elsewhere" / "flower.py"
LIMIT = 600
#: Row, clients, parameters, floor, goal.
ROUNDS = (
    ("20", 10, 10_000, ">= 100", 250.0),
    ("20", 100, 10_000, ">= 25", 150.0),
    ("21", 10, 1_000_000, ">= 6", 20.0),
    ("21", 10, 5_000_000, ">= 2.5", 7.0),
)
MODELS = 5


def flower(python: str, *arguments: str) -> dict[str, float] | None:
    """One trial of Flower; None, and why, where it came to nothing."""
    command = [python, str(SCRIPT), *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            out, error = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, error = "", f"it took longer than {LIMIT} s"
    peers.end_orphans()
    try:
        found: dict[str, float] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        why = error.strip().splitlines() or ["it said nothing"]
        print(f"Flower {' '.join(arguments)}: no result: {why[-1]}", flush=True)
        return None
    return found


def has_flower(python: str) -> bool:
    """Whether an interpreter has Flower."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('flwr') is None)"
    try:
        return subprocess.run([python, "-c", look], check=False).returncode == 0
    except OSError:
        return False


def merged() -> dict[str, float]:
    """Gigabytes of models of ResNet-50 that are merged exactly in a second."""
    layout = resnet50()
    rng = np.random.default_rng(0)
    models = [rng.standard_normal(layout.size, dtype=np.float32) for _ in range(MODELS)]
    weights = [100 + number for number in range(MODELS)]
    total = ExactSum(layout, Grid.of(models[0], layout, sum(weights)))
    took = []
    for _ in range(5):
        began = time.perf_counter()
        total.restart(total.grid)
        for model, weight in zip(models, weights, strict=True):
            total.add(model, weight)
        total.mean()
        took.append(time.perf_counter() - began)
    return {"merge": MODELS * layout.nbytes / 1e9 / sorted(took)[2]}


def compared(arguments: argparse.Namespace) -> Iterator[Row]:
    for row, clients, size, floor, goal in ROUNDS:
        rates = Trials(("actorfl", "combined", "Flower"))
        for repetition in range(arguments.repetitions):
            for who in rates.order(repetition):
                if who == "Flower":
                    came = flower(
                        arguments.flower, "rounds", str(clients), str(size), str(arguments.rounds)
                    )
                else:
                    case = Case(clients, size, combine=who == "combined")
                    came = measured("benchmarks.rounds", "process", case)
                if came is not None:
                    rates.add(who, came["rounds"])
        medians = rates.medians()
        if "Flower" in medians:
            what = f"{clients} clients, {size:,} parameters: rounds/s vs Flower"
            yield Row(row, what, medians["actorfl"], medians["Flower"], floor, goal)
            what = f"{clients} clients combined, {size:,} parameters: rounds/s vs Flower"
            yield Row(row, what, medians["combined"], medians["Flower"], floor, goal)
    theirs = flower(arguments.flower, "merge", str(MODELS), str(resnet50().size))
    if theirs is not None:
        what = f"{MODELS} models x 25.6M: merging, GB/s vs Flower's FedAvg"
        yield Row("23", what, merged()["merge"], theirs["merge"], ">= 4", 7.0)


def main() -> int:
    parser = report.parser(__doc__, repetitions=3)
    parser.add_argument("--flower", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=12, help="of each trial of Flower")
    arguments = parser.parse_args()
    if not has_flower(arguments.flower):
        print(
            f"Flower is left out: {arguments.flower} does not have it; "
            "docs/performance.md says how to install it"
        )
        return 0
    peers.adopt_orphans()
    return report.tell(compared(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
