"""Gossip learning: row 26 of docs/performance.md, and thousands of nodes in simulated time.

    python -m benchmarks.gossip [--repetitions 31] [--nodes 10000] [--gossipy PYTHON] [--json FILE]

A hundred nodes in a 20-regular graph push logistic regression of 57 features to each other over
inproc ZeroMQ, a tenth of them evaluated a round; beside them the same arithmetic without messages.
What is compared is the processor's time of an exchange, because nodes act by the clock. Then nodes
in simulated time, ten periods: wall time and memory, in a process of their own, beside gossipy with
as many nodes as it carries out in ten minutes. Of gossipy, which wants other versions of libraries,
PYTHON is an interpreter that has it.

The exit code is 1 where a floor was missed, 2 where an option is wrong, else 0.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actorfl import (
    SGD,
    Every,
    Gossip,
    Iid,
    PerExample,
    Period,
    RegularGraph,
    Rounds,
    Run,
    Sampled,
)
from actorfl.engine import engine_of
from actorfl.gossip.learner import Learned, Learner
from actorfl.gossip.sends import Coordinates
from actors import Deployment, Inline, Simulated
from benchmarks import report
from benchmarks.made import Made
from benchmarks.report import Row, Trials

NODES, DEGREE, ROUNDS, EVERY = 100, 20, 100, 10
#: Length of a period on real sockets beside the time of its arithmetic alone. The reference's
#: actors exchanged at this pace, one message after the other. In longer periods the processor
#: sleeps and is woken up for each exchange; in shorter ones there is no time for many exchanges,
#: and what is left bears the timers, evaluations and saves of all.
PACE = 1.38
#: Rounds of the arithmetic alone: it lasts as long as ours on the clock, since the speed of a
#: processor that others share changes from one second to the next.
FLOOR_ROUNDS = round(PACE * ROUNDS)
LOCAL = SGD(lr=1e4, batch=10, weight_decay=1e-6)
SCRIPT = Path(__file__).parent / "elsewhere" / "gossipy.py"
LIMIT = 1800
PERIODS = 10
#: What a node learns from in simulated time: Spambase among a hundred nodes.
EXAMPLES = 41
#: Seconds that gossipy has for the periods of so many nodes.
MINUTES = 600
#: Trials of gossipy at most: each lasts as long as many of ours, and few are enough to see a ratio
#: that is several times its target.
GOSSIPY_TRIALS = 9


def run(nodes: int, seconds: float, rounds: int, every: int, **changed: Any) -> Run:
    return Run(
        Made(), RegularGraph(nodes, degree=DEGREE, seed=1), Gossip(), local=LOCAL,
        sync=Period(seconds, save=50), until=Rounds(rounds), evaluate=Every(every), name="gossip",
        **changed,
    )  # fmt: skip


def carried_out(made: Run, on: Deployment) -> tuple[float, int, float]:
    """Processor seconds and models merged between the first line and the last, and the accuracy."""
    lines: list[tuple[float, int]] = []

    def on_row(row: Mapping[str, Any]) -> None:
        if "round" in row:
            lines.append((time.process_time(), row["merged"]))

    with tempfile.TemporaryDirectory() as out:
        result = made.start(on, out=out, on_row=on_row)
    seconds = lines[-1][0] - lines[0][0]
    return seconds, sum(merged for _, merged in lines[1:]), result.accuracy or 0.0


def ours(arithmetic: float) -> float:
    """Microseconds of an exchange over inproc ZeroMQ.

    Args:
        arithmetic: microseconds that it takes alone, which say how long a period is.
    """
    period = PACE * NODES * arithmetic / 1e6
    seconds, messages, _ = carried_out(run(NODES, period, ROUNDS, EVERY), Inline())
    return seconds / messages * 1e6


def floor() -> float:
    """Microseconds of an exchange without messages: the parcel is merged where it is made."""
    task, draw = Made(), np.random.default_rng(0)
    engine, pool = engine_of(task), task.pool()
    layout = engine.initial(task, 0).layout
    cut = Coordinates(layout, 1)
    learners, updates = [], []
    for part in Iid().split(4140, NODES, 0):
        learners.append(Learner(Gossip(), cut, Learned.begun(layout.zeros(), 1), draw))
        updates.append(engine.update(task, engine.subset(pool, part), LOCAL, cut.part_of))
    test = task.test()
    began, exchanges = time.process_time(), 0
    for _ in range(FLOOR_ROUNDS):
        for place in draw.permutation(NODES):
            sender, to = learners[place], int(draw.integers(NODES))
            sender.period()
            learner = learners[to]
            learner.merge(sender.parcel(0))
            learned = learner.learned
            learned.weights, learned.ages = updates[to](learned.weights, learned.ages, draw)
            exchanges += 1
        for learner in learners[:: NODES // EVERY]:
            engine.evaluate(task, learner.learned.weights, {}, test)
    return (time.process_time() - began) / exchanges * 1e6


def simulated(nodes: int) -> dict[str, float]:
    """Wall seconds, MiB and messages of so many simulated nodes, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gossip", "--alone", "--nodes", str(nodes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def alone(nodes: int) -> dict[str, float]:
    made = run(nodes, 172.0, PERIODS, PERIODS // 2, partition=Sampled(EXAMPLES))
    began = time.perf_counter()
    _, messages, accuracy = carried_out(made, Simulated(4, compute=PerExample(1e-4)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": time.perf_counter() - began,
        "memory": peak / (2**20 if sys.platform == "darwin" else 2**10),
        "messages": float(messages),
        "accuracy": accuracy,
    }


def gossipy(
    python: str, nodes: int, rounds: int, every: int, limit: float = LIMIT
) -> dict[str, float] | None:
    """What gossipy found, see its script; None, and why, where it came to nothing."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    asked = map(str, (nodes, DEGREE, rounds, every, EXAMPLES))
    try:
        done = subprocess.run(
            [python, str(SCRIPT), *asked], capture_output=True, text=True, timeout=limit,
            check=False, env=environment,
        )  # fmt: skip
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError) as error:
        print(f"gossipy, {nodes} nodes: no result: {error}", flush=True)
        return None
    return found


def largest(
    carry_out: Callable[[int], dict[str, float] | None], first: int, limit: float
) -> dict[str, float] | None:
    """What was found at the largest size that is done within the limit, to a tenth or so.

    Args:
        carry_out: carries out a size and tells its ``nodes`` and ``seconds``, None where it failed.
        first: the size to begin with.
        limit: seconds.
    """
    best, size, power, failed = None, first, 1.0, math.inf
    while size > 1.1 * (best["nodes"] if best else 0) and size < 0.9 * failed:
        found = carry_out(size)
        if found is None or found["seconds"] > limit:
            failed = size
            if best is None:
                break
            size = int(math.sqrt(best["nodes"] * failed))
            continue
        if best is not None:  # a node may take more time where there are more of them
            ratio = found["seconds"] / best["seconds"]
            power = min(3.0, max(1.0, math.log(ratio) / math.log(size / best["nodes"])))
        best = found
        larger = size * min(8.0, (0.9 * limit / found["seconds"]) ** (1 / power))
        size = int(min(larger, math.sqrt(size * failed)))
    return best


def compared(arguments: argparse.Namespace) -> Iterator[Row]:
    names = ["actorfl", "floor", *(["gossipy"] if arguments.gossipy else [])]
    trials = Trials(names)
    arithmetic = floor()
    for repetition in range(arguments.repetitions):
        for name in trials.order(repetition):
            if name != "gossipy":
                trials.add(name, ours(arithmetic) if name == "actorfl" else floor())
            elif repetition < GOSSIPY_TRIALS and (
                found := gossipy(arguments.gossipy, NODES, ROUNDS, NODES // EVERY)
            ):
                trials.add(name, found["microseconds"])
    medians = trials.medians()
    what = f"an exchange of {NODES} nodes, us of a processor vs"
    yield Row(
        "26", f"{what} without messages", medians["actorfl"], medians["floor"], "<= 1.8", 1.35
    )
    if "gossipy" in medians:
        speed = 1e6 / medians["actorfl"], 1e6 / medians["gossipy"]
        yield Row("26", "exchanges a second vs gossipy", *speed, ">= 2.5", 4.0)
    few, many = (simulated(nodes) for nodes in (max(100, arguments.nodes // 10), arguments.nodes))
    what = f"{arguments.nodes} nodes, {PERIODS} periods in simulated time"
    yield Row("", f"{what}, s vs a tenth of them", many["seconds"], few["seconds"])
    yield Row("", f"{what}, MiB vs a tenth of them", many["memory"], few["memory"])
    if arguments.gossipy and (theirs := at_most(arguments.gossipy)):
        what = f"the same vs gossipy with {theirs['nodes']:g} nodes"
        yield Row("", f"{what}, s", many["seconds"], theirs["seconds"])
        yield Row("", f"{what}, MiB", many["memory"], theirs["memory"])


def at_most(python: str) -> dict[str, float] | None:
    """What gossipy found with as many nodes as it carries out in time."""

    def carry_out(nodes: int) -> dict[str, float] | None:
        # Ours evaluates all nodes twice, gossipy a share of them in each period.
        return gossipy(python, nodes, PERIODS, PERIODS // 2, limit=1.2 * MINUTES)

    return largest(carry_out, 100, MINUTES)


def main() -> int:
    parser = report.parser(__doc__, repetitions=31)
    parser.add_argument("--nodes", type=int, default=10_000, help="in simulated time (%(default)s)")
    parser.add_argument("--gossipy", metavar="PYTHON", help="an interpreter that has gossipy")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.nodes <= DEGREE:
        parser.error(f"--nodes is more than {DEGREE}, the degree of the graph")
    if arguments.alone:
        print(json.dumps(alone(arguments.nodes)))
        return 0
    return report.tell(compared(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
