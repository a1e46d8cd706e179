"""A thousand workers under 32 aggregators, zero-cost training: see docs/performance.md.

    python -m benchmarks.tree [--workers 1000] [--aggregators 32] [--clocks 30] [--json FILE]

What is measured is the run of `actorfl run` but for the fits: workers put the model that came down.
In one process, and over four: the root, the evaluator, the aggregators, the workers. The yardstick
encodes and decodes the same messages and adds up the same models, in one loop, without actors.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

import actors
from actorfl import SGD, FedAvg, Rounds, Run, Task, Tree, Who
from actorfl.execute import running
from actorfl.grid import Grid
from actorfl.layout import Layout
from actorfl.merging import Merger
from actorfl.roles import Roles
from actorfl.task import Batch, Dataset
from actorfl.terms import Terms, TermsHeader
from actors import Inline, Processes
from benchmarks import report
from benchmarks.idler import Idler, part
from benchmarks.processes import kibibytes
from benchmarks.report import Row, Trials
from transports import Weights

LAYOUT = Layout.build([
    ("weight", (10, 64), "float32", "parameter"), ("bias", (10,), "float32", "parameter"),
])  # fmt: skip
LIMIT = 900
HERE = "1 process"
THERE = "4 processes"
CLOCK = "<= 100 ms"
IDLE = "<= 50 KiB"


@dataclass(frozen=True)
class Nothing(Task):
    """The model of the digits, and a single example to train on."""

    def model(self) -> nn.Module:
        return nn.Linear(64, 10)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        total: Tensor = model(batch[0]).sum()
        return total

    def train(self, who: Who) -> Dataset:
        return torch.zeros(1, 64), torch.zeros(1, dtype=torch.int64)


async def ours(on: Inline | Processes, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a clock, as a median; KiB that the processes hold when all have closed."""
    tree = Tree(root=1, edge=arguments.aggregators, worker=arguments.workers)
    run = Run(Nothing(), tree, FedAvg(), local=SGD(lr=0.1), until=Rounds(arguments.clocks))
    came: list[float] = []
    held: list[float] = []

    def on_row(row: Mapping[str, Any]) -> None:
        if "round" in row:
            came.append(time.perf_counter())
        if row.get("round") == arguments.clocks:
            held.append(kibibytes())

    with tempfile.TemporaryDirectory() as out:
        async with running(
            run, on, out=Path(out), on_row=on_row, roles=Roles(worker=Idler)
        ) as under_way:
            result = await under_way.result()
    assert (result.rounds, result.restarts) == (arguments.clocks, 0)
    clocks = [later - sooner for sooner, later in itertools.pairwise(came)]
    return {"clock": 1000 * statistics.median(clocks), "memory": held[0]}


class Small(msgspec.Struct, array_like=True):
    """A message of the protocol beside its arrays: stamp, names, path of who is to answer."""

    run: str
    clock: int
    version: int
    worker: str
    header: TermsHeader | None = None


def yardstick(arguments: argparse.Namespace) -> dict[str, float]:
    """The same messages and sums; memory is that of the models that workers keep, two each."""
    model = np.linspace(-1.0, 1.0, LAYOUT.size, dtype=np.float32)
    grid = Grid.of(model, LAYOUT, arguments.workers)
    encode, decoder = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Small)
    took = []

    def said(worker: str, clock: int, header: TermsHeader | None = None) -> Small:
        return decoder.decode(encode(Small("nothing-1", clock, clock, worker, header)))

    def put(merger: Merger, name: str, clock: int, terms: Terms) -> None:
        header, arrays = terms.to_wire()
        for _ in range(3):  # Ready, Go, Ack
            said(name, clock)
        landed = Weights.of(arrays)
        told = said(name, clock, header).header
        assert told is not None
        merger.fold(Terms.from_wire(told, {each: landed[each] for each in landed.names()}))

    for clock in range(arguments.clocks):
        began = time.perf_counter()
        root = Merger(LAYOUT, grid, clock)
        for edge in range(arguments.aggregators):
            merger = Merger(LAYOUT, grid, clock)
            for worker in range(edge, arguments.workers, arguments.aggregators):
                name = f"w{worker}"
                put(merger, name, clock, part(Weights.of({"m": model})["m"], name, clock, LAYOUT))
            put(root, f"edge{edge}", clock, merger.partial())
        root.merged()
        took.append(time.perf_counter() - began)
    return {"clock": 1000 * statistics.median(took), "memory": 2 * model.nbytes / 1024}


def trial(who: str, arguments: argparse.Namespace, workers: int, clocks: int) -> dict[str, float]:
    """One trial, in a process of its own."""
    command = [
        sys.executable, "-m", "benchmarks.tree", "--trial", who, "--workers", str(workers),
        "--aggregators", str(arguments.aggregators), "--clocks", str(clocks),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rows(arguments: argparse.Namespace) -> list[Row]:
    names = (HERE, THERE, "yardstick")
    times, memory = Trials(names), Trials(names)
    few = arguments.aggregators
    for repetition in range(arguments.repetitions):
        for who in times.order(repetition):
            found = trial(who, arguments, arguments.workers, arguments.clocks)
            times.add(who, found["clock"])
            if who == "yardstick":
                memory.add(who, found["memory"])
                continue
            less = trial(who, arguments, few, 3)["memory"]
            memory.add(who, (found["memory"] - less) / (arguments.workers - few))
    clock, idle = times.medians(), memory.medians()
    label = f"{arguments.workers:,} workers, {arguments.aggregators} aggregators"
    return [
        Row("tree", f"{label}, 1 process: ms a clock", clock[HERE], clock["yardstick"], CLOCK),
        Row("tree", f"{label}, 4 processes: ms a clock", clock[THERE], clock["yardstick"], CLOCK),
        Row("tree", f"{label}, 1 process: KiB a worker", idle[HERE], idle["yardstick"], IDLE),
        Row("tree", f"{label}, 4 processes: KiB a worker", idle[THERE], idle["yardstick"], IDLE),
    ]


def main() -> None:
    parser = report.parser(__doc__, repetitions=3)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--aggregators", type=int, default=32)
    parser.add_argument("--clocks", type=int, default=30)
    parser.add_argument("--trial", metavar="WHO", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trial == "yardstick":
        print(json.dumps(yardstick(arguments)))
        return
    if arguments.trial is not None:
        on = Inline() if arguments.trial == HERE else Processes(1)
        print(json.dumps(actors.run(ours(on, arguments))))
        return
    found = rows(arguments)
    report.head(66)
    for each in found:
        report.line(each, 66)
    report.write(found, arguments.json)


if __name__ == "__main__":
    main()
