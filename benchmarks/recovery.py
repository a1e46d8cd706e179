"""What a kill costs: seconds that a run takes longer, beside what cannot be saved.

    python -m benchmarks.recovery [--repetitions 5] [--json FILE]

Digits, 8 workers over 4 processes. The victim's process is ended by SIGKILL at three rounds; what
the run takes longer than an undisturbed one, by kill, is ours. The yardstick is taken in the same
run under the same load: the start of a process that loads what the victim has to load, one clock,
and the back-off that is configured.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import actors
from actorfl import Run
from actorfl.execute import running
from actors import Processes
from benchmarks.report import Row, Trials, head, line, parser, write

RUN = Path(__file__).parents[1] / "examples" / "digits" / "run.toml"
ROUNDS = 16
#: Rounds after which the victim is killed; far enough apart that one is over before the next.
KILLS = (3, 7, 11)
FLOOR = "<= 1.5"

# What a process does from its start to its first message of the protocol; the worker's loads torch
# and its data, the aggregator's neither.
STARTS = {
    "p0": (
        "import torch, actors.node, actorfl.worker, actorfl.fit, actorfl.model\n"
        "from actorfl import fingerprint\n"
        "from actorfl.data.digits import Digits\n"
        "fingerprint.measured(); Digits().pool()\n"
    ),
    "aggregator": "import actors.node, actorfl.aggregator, actorfl.algorithms.fedavg\n",
}


async def seconds(run: Run, on: Processes, victim: str | None, out: Path) -> tuple[float, float]:
    """From the first row to the last; and how long one clock took, as a median."""
    came: list[float] = []

    def on_row(row: Mapping[str, Any]) -> None:
        if "round" not in row:
            return
        came.append(time.perf_counter())
        if victim is not None and row["round"] in KILLS:
            assert under_way.live.processes is not None
            under_way.live.processes.kill(victim)

    async with running(run, on, out=out, on_row=on_row) as under_way:
        result = await under_way.result()
    kills = 0 if victim is None else len(KILLS)
    assert result.restarts == kills, f"{result.restarts} restarts, {kills} kills"
    clocks = [later - sooner for sooner, later in itertools.pairwise(came)]
    return came[-1] - came[0], statistics.median(clocks)


async def start_under_load(run: Run, on: Processes, victim: str, out: Path) -> float:
    """A process like the victim's starts while the others train."""
    took: list[float] = []

    async def begin() -> None:
        began = time.perf_counter()
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTS[victim])
        assert await child.wait() == 0
        took.append(time.perf_counter() - began)

    starting: list[asyncio.Task[None]] = []

    def on_row(row: Mapping[str, Any]) -> None:
        if row.get("round") == KILLS[0]:
            starting.append(asyncio.ensure_future(begin()))

    async with running(run, on, out=out, on_row=on_row) as under_way:
        await under_way.result()
        await starting[0]
    return took[0]


async def measure(victim: str, repetitions: int, out: Path) -> Row:
    """One victim's row."""
    run = Run.from_toml(RUN, [f"until.rounds={ROUNDS}"])
    on = Processes(4)
    trials = Trials(("killed", "undisturbed", "start", "clock"))
    # The first of each warms the caches of the disk.
    for repetition in range(-1, repetitions):
        found: dict[str, float] = {}
        for name in trials.order(repetition):
            if name == "killed":
                found[name], _ = await seconds(run, on, victim, out)
            elif name == "undisturbed":
                found[name], found["clock"] = await seconds(run, on, None, out)
            elif name == "start":
                found[name] = await start_under_load(run, on, victim, out)
        if repetition >= 0:
            for name, value in found.items():
                trials.add(name, value)
    median = trials.medians()
    added = (median["killed"] - median["undisturbed"]) / len(KILLS)
    saved = median["start"] + median["clock"] + run.supervision.backoff
    what = "worker process" if victim == "p0" else "aggregator"
    return Row("recovery", f"time added by the kill of a {what}, s", added, saved, FLOOR)


def main() -> None:
    arguments = parser(__doc__, 5).parse_args()

    rows = []
    head()
    for victim in STARTS:
        with tempfile.TemporaryDirectory(prefix="recovery-") as out:
            rows.append(actors.run(measure(victim, arguments.repetitions, Path(out))))
        line(rows[-1])
    write(rows, arguments.json)


if __name__ == "__main__":
    main()
