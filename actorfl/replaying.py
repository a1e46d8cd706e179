"""One step of one worker again, from what its run has kept; see docs/replay.md."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from actorfl import checkpoint, fingerprint, shardfile, step
from actorfl.checkpoint import Checkpoint
from actorfl.debugging import Left, debugged
from actorfl.engine import engine_of
from actorfl.errors import (
    ActorflError,
    NotRecorded,
    RunDirectoryError,
    StepFailed,
    WrongValue,
    nearest,
)
from actorfl.eventfile import Damage, records
from actorfl.every import evaluated_at
from actorfl.kept import Kept, folder_of
from actorfl.lane import in_place
from actorfl.mean import Mean
from actorfl.run import Run
from actorfl.rundir import refuse_another, shown, unusable
from actorfl.sampling import selected
from actorfl.stay import by_worker, members
from actorfl.step import Data, Given, Made
from actorfl.task import Task, who_of
from actorfl.topology import Star
from actorfl.worker import COMPUTED
from actors import FileStorage, Snapshots, Storage
from transports import Weights

_HEX = 16
"""Digits of a hash that are shown to people: enough to tell two apart."""


_MOST_NAMED = 3
"""Clocks that a sentence names: where not all are kept, few are."""


@dataclass(frozen=True)
class Replayed:
    """What a step gave when it was computed again.

    Attributes:
        run: directory of the run.
        worker: whose step.
        clock: of the step.
        examples: that the worker trains on.
        loss: mean training loss; None where it is no number, or nothing was trained on.
        metrics: of the model that went down, where the worker evaluated it.
        input: SHA-256 of what the step is computed from.
        data: SHA-256 of the worker's data.
        result: SHA-256 of what it gave.
        recorded: the results that the run recorded, one for each time that it computed the step.
        warning: why it may give other bits here than it did in the run; or nothing.
        damaged: what of the run's records cannot be read, a sentence; or nothing.
    """

    run: str
    worker: str
    clock: int
    examples: int
    loss: float | None
    metrics: dict[str, float | None]
    input: str
    data: str
    result: str
    recorded: tuple[str, ...]
    warning: str
    damaged: str = ""

    @property
    def same(self) -> bool | None:
        """Whether the bits are those of the run; None where it recorded none."""
        return {self.result} == set(self.recorded) if self.recorded else None

    def summary(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        return {**dataclasses.asdict(self), "recorded": list(self.recorded), "same": self.same}

    def lines(self) -> list[str]:
        """The same for people."""
        measured = {"loss": self.loss, **self.metrics}
        numbers = [f"{key} {'-' if n is None else f'{n:.6f}'}" for key, n in measured.items()]
        told = {
            None: (
                "no result is left to compare it with"
                if self.damaged
                else "the run recorded no result to compare it with; `record = true` does"
            ),
            True: "the same bits as in the run",
            False: f"OTHER bits than in the run: {', '.join(self.recorded)}",
        }[self.same]
        return [
            f"{self.worker} in clock {self.clock} (round {self.clock + 1}) of {self.run}",
            f"input  {self.input}",
            f"{self.examples} examples  {'  '.join(numbers)}",
            f"result {self.result}",
            *(each for each in (self.warning, self.damaged) if each),
            told,
        ]


def replay(directory: Path, worker: str, clock: int, *, debug: bool = False) -> Replayed:
    """Compute one clock of one worker again.

    In the calling thread, which must be the main one of its process for a debugger.

    Args:
        directory: of the run, finished or not; only read.
        worker: its name.
        clock: from 0; clock c is computed in round c + 1.
        debug: stop in pdb where the task's ``loss`` is entered first.

    Raises:
        WrongValue: there is no such worker or clock.
        NotRecorded: the run has not kept what the step was computed from.
        DifferentConfiguration: code or configuration of the run were changed.
        RunDirectoryError: the directory cannot be read, or the worker's data is another one.
        StepFailed: the step raised, or the task as it loaded the data.
        Left: the debugger was left before the end of the step.
    """
    where = shown(directory)
    run = Run.from_toml(directory / "run.toml")
    refuse_another(where, run)
    names = run.topology.names
    if worker not in names:
        hint = nearest(worker, names)
        raise WrongValue.saying(f"{where} has no worker {worker!r}" + (f"; {hint}" if hint else ""))
    before = asyncio.run(_before(where, run, worker, clock))
    recorded, damaged = _recorded(directory, worker, clock)
    task = run.resolved_task
    who = who_of(run.topology, names.index(worker))
    with _told(worker, "as it loads its data"):
        data = in_place(
            step.load, run, task, who, seed=step.load_seed(run, worker), engine=engine_of(task)
        )
    hash_of_data = data.sha256()
    _refuse_other_input(where, worker, before.given, hash_of_data, recorded)
    warning = _warning(before.checkpoint, task)
    with _told(worker, f"in clock {clock}"):
        made = _again(run, task, worker, data, before.given, debug=debug)
    return Replayed(
        run=str(where),
        worker=worker,
        clock=clock,
        examples=data.examples,
        loss=_number(made.loss),
        metrics={name: _number(mean) for name, mean in sorted(made.metrics.items())},
        input=before.given.sha256(),
        data=hash_of_data,
        result=made.sha256(),
        recorded=tuple(record["result"] for record in recorded),
        warning=warning,
        damaged=damaged,
    )


class _Before(NamedTuple):
    """What a run has kept of a step."""

    checkpoint: Checkpoint
    given: Given


async def _before(where: Path, run: Run, worker: str, clock: int) -> _Before:
    storage = FileStorage(where)
    try:
        snapshots = Snapshots(storage, checkpoint.FOLDER, 0)
        newest = await _loaded(where, snapshots)
        if newest is None:
            raise NotRecorded(where, clock, "no round of it was begun", begun=False)
        begun = newest.header.clock
        last = begun - 1 if run.until.reached(newest.header.progress) else begun
        if not 0 <= clock <= last:
            need = f"from 0 to {last}, the last clock of {where} in which workers train"
            raise WrongValue("the clock to replay", need, clock)
        _refuse_unselected(where, run, worker, clock, newest.header.examples)
        found = await _loaded(where, snapshots, clock)
        if found is None or found.header.clock != clock:
            kept = await checkpoint.clocks(snapshots)
            raise NotRecorded(where, clock, _missing(clock, kept))
        weights = await _went_down(where, storage, run, found)
        states = Kept(Snapshots(storage, folder_of(worker), 0))
        await states.restore(clock)
        pending = found.header.pending
        given = Given(
            clock,
            train=True,
            evaluate=evaluated_at(run) == "workers" and pending is not None and pending.due,
            weights=weights,
            mine=states.before(clock),
        )
        return _Before(found, given)
    finally:
        await storage.close()


async def _went_down(where: Path, storage: Storage, run: Run, found: Checkpoint) -> Weights:
    """The model that went down in the clock of a checkpoint."""
    shards = run.topology.shards if isinstance(run.topology, Star) else None
    if shards is None:
        return checkpoint.down_of(run.algorithm, found.state)
    clock = found.header.clock
    try:
        weights = await shardfile.down_at(storage, run.algorithm, shards, clock)
    except (msgspec.DecodeError, ValueError) as error:
        raise _unreadable(where, error) from error
    if weights is None:
        raise NotRecorded(where, clock, "not all shards have kept a whole snapshot of it")
    return weights


def _refuse_unselected(
    where: Path, run: Run, worker: str, clock: int, examples: Mapping[str, int]
) -> None:
    if run.select is None and not run.stays:
        return
    names = run.topology.names
    chosen = frozenset(members(by_worker(run.stays, names), names, clock))
    if run.select is not None:
        there = [name for name in names if name in chosen]
        chosen = selected(run.select, there, examples, run.seed, clock)
    if worker not in chosen:
        computed = [name for name in names if name in chosen]
        more = len(computed) - _MOST_NAMED
        those = ", ".join(computed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        why = "was not selected for it" if run.select is not None else "was not of the run then"
        reason = f"{worker} {why}, and computed nothing; {those} did"
        raise NotRecorded(where, clock, reason, begun=False)


async def _loaded(where: Path, snapshots: Snapshots, upto: int | None = None) -> Checkpoint | None:
    try:
        return await checkpoint.load(snapshots, upto)
    except (msgspec.DecodeError, ValueError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: Path, error: Exception) -> RunDirectoryError:
    return RunDirectoryError(
        f"the snapshots of {where} cannot be read here: {error}; replay it with the version of "
        "actorfl that it was run with"
    )


def _missing(clock: int, kept: tuple[int, ...]) -> str:
    if clock in kept:
        return "its snapshot is damaged"
    named = ", ".join(map(str, kept[-_MOST_NAMED:]))
    return f"of the models that went down only that of clock {named} is kept"


def _recorded(directory: Path, worker: str, clock: int) -> tuple[list[dict[str, str]], str]:
    """What the run recorded of each time that it computed the step, and what cannot be read."""
    file = directory / "events.msgpack"
    found: list[dict[str, str]] = []
    damages: list[Damage] = []
    try:
        for record in records(file):
            if isinstance(record, Damage):
                damages.append(record)
            elif (
                record.get("event") == "custom"
                and record.get("kind") == COMPUTED
                and isinstance(fields := record.get("fields"), dict)
                and (fields.get("worker"), fields.get("clock")) == (worker, clock)
                and all(isinstance(fields.get(key), str) for key in ("input", "data", "result"))
            ):
                found.append(fields)
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        raise unusable("read", file, error) from error
    # What a kill leaves at the end is no damage to speak of where the step's own record is there.
    if not damages or (found and all(each.torn for each in damages)):
        return found, ""
    told = "; it ".join(map(str, damages[:_MOST_NAMED]))
    more = len(damages) - _MOST_NAMED
    rest = f", and in {more} more places" if more > 0 else ""
    return found, f"{shown(file)} {told}{rest}: what the run recorded there cannot be read"


def _refuse_other_input(
    where: Path, worker: str, given: Given, data: str, recorded: list[dict[str, str]]
) -> None:
    """A step of another input could not but give other bits, which would say nothing.

    Raises:
        RunDirectoryError: the data, the model or what was kept are not what they were.
    """
    for known in recorded:
        if known["data"] != data:
            raise RunDirectoryError(
                f"the data of {worker} is not what it was in {where} (its SHA-256 is "
                f"{data[:_HEX]}, it was {known['data'][:_HEX]}); put back the files that the task "
                "loads, or look for what it draws or downloads anew"
            )
        if known["input"] != given.sha256():
            raise RunDirectoryError(
                f"what {where} has kept of clock {given.clock} for {worker} is not what it was "
                f"computed from (its SHA-256 is {given.sha256()[:_HEX]}, it was "
                f"{known['input'][:_HEX]}); put back its snapshots"
            )


def _warning(found: Checkpoint, task: Task) -> str:
    known = found.header.numerics
    if known is None:
        return ""
    engine = engine_of(task)
    ours = in_place(engine.fingerprint, engine=engine)
    told = "; ".join(fingerprint.differences(ours, known, ("this process", "the run")))
    return f"the same bits are not promised: {told}" if told else ""


def _again(run: Run, task: Task, worker: str, data: Data, given: Given, *, debug: bool) -> Made:
    def again() -> Made:
        return in_place(
            step.step, run, task, worker, data, given,
            seed=step.step_seed(run, worker, given.clock), engine=engine_of(task),
        )  # fmt: skip

    return debugged(task, again) if debug else again()


@contextmanager
def _told(worker: str, when: str) -> Iterator[None]:
    """What the user's code raises is no error of ours.

    Raises:
        StepFailed: the block raised.
    """
    try:
        yield
    except (ActorflError, Left):
        raise
    except Exception as error:
        raise StepFailed(worker, when, error, traceback.format_exc()) from error


def _number(mean: Mean) -> float | None:
    """JSON has no NaN."""
    return mean.value if mean.count and math.isfinite(mean.value) else None
