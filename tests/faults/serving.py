"""What the tests of a parameter server share: a run with momentum, and the laws of its schedules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actorfl import Gradients, ParameterServer, Run
from actors.testing.chaos import explore
from tests.faults.runs import small

MOMENTUM = ParameterServer(0.1, momentum=0.9, schedule="sqrt", every=4)

_TABLES = """
task = {{ kind = "{tasks}:{task}" }}
topology = {{ kind = "star", workers = 4{shards} }}
algorithm = {{ kind = "parameter-server", lr = 0.1, momentum = 0.9, schedule = "sqrt", every = 4 }}
local = {{ kind = "gradients", batch = 8 }}
sync = {sync}
until = {{ rounds = 20 }}

[chaos]
rounds = {rounds}
"""


def served(**changed: Any) -> Run:
    """A small run whose workers send gradients to a server."""
    return small(**{"algorithm": MOMENTUM, "local": Gradients(batch=8), **changed})


def keep_laws(
    out: Path, sync: str, *, task: str, rounds: int, seeds: int, shards: int | None = None
) -> None:
    """Explore such a run of 4 workers, read from a file, under one schedule of faults for each seed."""
    file = out / "run.toml"
    file.write_text(
        _TABLES.format(
            tasks=Path(__file__).with_name("tasks.py"), task=task, sync=sync, rounds=rounds,
            shards="" if shards is None else f", shards = {shards}",
        )
    )  # fmt: skip
    report = explore(
        "actorfl.chaos.scenario:scenario", range(seeds), arguments=(str(file),), jobs=2
    )
    assert not report.failed, report.failed[0]
    assert report.seeds == seeds
