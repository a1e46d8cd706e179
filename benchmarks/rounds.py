"""Rounds of FedAvg that train nothing, beside a bare star: rows 19 and 22 of docs/performance.md.

    python -m benchmarks.rounds [--clients 10 100] [--size 10000] [--seconds 3] [--json FILE]

What is measured is a run as people write it, a task, a star, FedAvg, but that clients put the model
that came down, as those of the yardstick do. It has three processes: the aggregator, the evaluator
and the clients; in row 22 each of two clients has its own. Beside it stands the same run with
``combine``: the clients of a process are added up there, and one sum leaves it. The yardstick
sends the same models over raw pyzmq, see ``benchmarks.star``. Trials of both alternate, each in a
process of its own.

The exit code is 1 where a floor was missed, 2 where an option is wrong, else 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import torch
from torch import Tensor, nn

import actors
from actorfl import SGD, FedAvg, Rounds, Run, Star, Task, Who
from actorfl.execute import running
from actorfl.roles import Roles
from actorfl.task import Batch, Dataset
from actors import Processes
from benchmarks import report, star
from benchmarks.idler import Idler
from benchmarks.processes import busy
from benchmarks.report import Row, Trials

LIMIT = 600
#: Rounds before those that are counted: connections are made, pages touched.
_WARM = 3
_FEWEST = 5
_MOST = 1_000_000
DURABILITY: Final[tuple[Literal["process"], Literal["machine"]]] = ("process", "machine")


class Flat(nn.Module):
    """So many parameters."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(size))


@dataclass(frozen=True)
class Nothing(Task):
    """So many parameters, a loss that nobody asks for, and a single example."""

    size: int = 10_000

    def model(self) -> nn.Module:
        return Flat(self.size)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return batch[0].sum().requires_grad_()

    def train(self, who: Who) -> Dataset:
        return (torch.zeros(1, 1),)


@dataclass(frozen=True)
class Case:
    """What is compared.

    Attributes:
        clients, size, processes: clients, parameters, processes of the clients.
        seconds: that a trial counts rounds for.
        durability: of the run.
        combine: whether the clients of a process are added up there.
    """

    clients: int
    size: int
    processes: int = 1
    seconds: float = 3.0
    durability: Literal["process", "machine"] = "process"
    combine: bool = False


async def ours(case: Case) -> dict[str, float]:
    """Rounds per second, and milliseconds that all processes compute in one."""
    run = Run(
        Nothing(case.size), Star(case.clients), FedAvg(), local=SGD(lr=0.1),
        until=Rounds(_MOST), durability=case.durability, combine=case.combine,
    )  # fmt: skip
    came: list[float] = []
    computed: list[float] = []
    enough = asyncio.Event()

    def on_row(row: Mapping[str, Any]) -> None:
        if "round" not in row or enough.is_set():
            return
        came.append(time.perf_counter())
        if len(came) == _WARM:
            computed.append(busy())
        elif len(came) >= _WARM + _FEWEST and came[-1] - came[_WARM - 1] >= case.seconds:
            computed.append(busy())
            enough.set()

    with tempfile.TemporaryDirectory() as out:
        async with running(
            run, Processes(case.processes), out=Path(out), on_row=on_row, roles=Roles(worker=Idler)
        ) as live:
            ending = asyncio.ensure_future(live.result())  # it only ends if it fails
            waiting = asyncio.ensure_future(enough.wait())
            await asyncio.wait({ending, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if ending.done():
                ending.result()
            ending.cancel()
    counted = len(came) - _WARM
    return {
        "rounds": counted / (came[-1] - came[_WARM - 1]),
        "busy": 1000 * (computed[1] - computed[0]) / counted,
    }


def measured(module: str, who: str, case: Case) -> dict[str, float]:
    """One trial of ours, or of the yardstick, in a process of its own."""
    command = [
        sys.executable, "-m", module, "--trial", who,
        "--case", json.dumps(msgspec.to_builtins(case)),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def trial(who: str, case: Case) -> dict[str, float]:
    """One trial in this process."""
    if who == "star":
        return star.rounds(case.clients, case.size, case.seconds, case.processes)
    return actors.run(ours(case))


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    yield apart(arguments)
    for clients in arguments.clients:
        cases: dict[str, Case] = {
            each: Case(clients, arguments.size, seconds=arguments.seconds, durability=each)
            for each in DURABILITY
        }
        cases["combined"] = Case(clients, arguments.size, seconds=arguments.seconds, combine=True)
        names = ("star", *cases)
        rates, costs = Trials(names), Trials(names)
        for repetition in range(arguments.repetitions):
            for who in rates.order(repetition):
                came = measured("benchmarks.rounds", who, cases.get(who, cases["process"]))
                rates.add(who, came["rounds"])
                costs.add(who, came["busy"])
        rate, cost = rates.medians(), costs.medians()
        what = f"{clients} clients, {arguments.size:,} parameters"
        for each in DURABILITY:
            floor, goal = (">= 0.3", 0.6) if each == "process" else ("", None)
            said = f'{what}, "{each}": rounds/s'
            yield Row("19", said, rate[each], rate["star"], floor, goal)
        said = f'{what}, "process", clients combined: rounds/s'
        yield Row("19", said, rate["combined"], rate["star"])
        for each, which in (("process", ""), ("combined", ", clients combined")):
            said = f"{what}{which}: ms of processor time a round"
            yield Row("19", said, cost[each], cost["star"])


def apart(arguments: argparse.Namespace) -> Row:
    """Two clients, each in a process of its own."""
    case = Case(2, arguments.size, processes=2, seconds=arguments.seconds)
    rates = Trials(("star", "process"))
    for repetition in range(arguments.repetitions):
        for who in rates.order(repetition):
            rates.add(who, measured("benchmarks.rounds", who, case)["rounds"])
    rate = rates.medians()
    what = f"2 clients in 2 processes, {arguments.size:,} parameters: rounds/s"
    return Row("22", what, rate["process"], rate["star"])


def main() -> int:
    parser = report.parser(__doc__, repetitions=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100], metavar="N")
    parser.add_argument("--size", type=int, default=10_000, help="parameters of the model")
    parser.add_argument("--seconds", type=float, default=3.0, help="that each trial counts rounds")
    parser.add_argument("--trial", metavar="WHO", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trial is not None:
        case: Case = msgspec.json.decode(arguments.case, type=Case)
        print(json.dumps(trial(arguments.trial, case)))
        return 0
    return report.tell(rows(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
