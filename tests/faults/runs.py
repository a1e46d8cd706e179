"""What the tests of runs share: a small run, how to kill within it, how to read what it left."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from _pytest.mark import ParameterSet

from actorfl import SGD, FedAvg, Result, Rounds, Run, Star, running
from actors import Deployment, Event, Inline
from tests.faults.tasks import Blobs

ROUNDS = 5


def small(**changed: Any) -> Run:
    """A run of seconds: 4 workers, 5 rounds."""
    values: dict[str, Any] = {
        "task": Blobs(),
        "topology": Star(4),
        "algorithm": FedAvg(),
        "local": SGD(lr=0.1, batch=8, epochs=1),
        "until": Rounds(ROUNDS),
        "seed": 3,
        "name": "small",
        **changed,
    }
    return Run(values.pop("task"), values.pop("topology"), values.pop("algorithm"), **values)


async def carry_out(
    run: Run,
    out: Path,
    on: Deployment | None = None,
    *,
    disturb: Callable[[Any, Mapping[str, Any]], None] | None = None,
    resume: Path | None = None,
    on_row: Callable[[Mapping[str, Any]], None] | None = None,
) -> Result:
    """Run it; ``disturb`` is called with the run under way and each row and event as a map."""

    def hear_row(row: Mapping[str, Any]) -> None:
        if on_row is not None:
            on_row(row)
        if disturb is not None and "round" in row:
            disturb(under_way, row)

    def hear(event: Event) -> None:
        if disturb is not None:
            disturb(under_way, msgspec.to_builtins(event))

    async with running(run, on or Inline(), out=out, resume=resume, on_row=hear_row) as under_way:
        under_way.live.system.events.subscribe(Event, hear)
        return await under_way.result()


def thorough(seeds: int) -> ParameterSet:
    """So many seeds where tests may take long, with time for them on a busy machine, too."""
    return pytest.param(seeds, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


def rows(directory: Path) -> list[dict[str, Any]]:
    """The lines of the metrics."""
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


VARYING = frozenset({"messages", "bytes", "seconds", "dropped"})
"""What a line of an aggregator tells of how its round was carried out; it differs between starts."""


def learned(directory: Path) -> list[dict[str, Any]]:
    """The lines of the metrics, without what tells how they came about."""
    return [{k: v for k, v in line.items() if k not in VARYING} for line in rows(directory)]


def events(directory: Path) -> list[dict[str, Any]]:
    """The events, read by the plain msgpack package."""
    with (directory / "events.msgpack").open("rb") as file:
        return list(msgpack.Unpacker(file, max_buffer_size=1 << 24))


def fits(directory: Path) -> Counter[tuple[str, int]]:
    """How often each (worker, clock) was computed."""
    return Counter(
        (event["fields"]["worker"], event["fields"]["clock"])
        for event in events(directory)
        if event["event"] == "custom" and event["kind"] == "fit"
    )


def pids(directory: Path) -> list[int]:
    """Process ids of all processes that were started."""
    return [event["pid"] for event in events(directory) if event["event"] == "node_started"]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
