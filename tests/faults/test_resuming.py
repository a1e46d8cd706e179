"""What a resumed run finds missing is refused before anything starts, or told in a sentence."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from actorfl import Rounds, Star, Who, execute
from actorfl.errors import NothingToResume, RunDirectoryError
from actorfl.rundir import RunDirectory
from actorfl.task import Dataset
from actors import Processes
from tests.faults.runs import carry_out, rows, small
from tests.faults.tasks import Blobs
from tests.faults.test_kills import fit, killing

SHORT = small(until=Rounds(2))


async def resumed(directory: Path) -> tuple[str, list[str]]:
    """SHA-256 of the final model, and the sentences that people got to read."""
    said: list[str] = []

    def hear(row: Mapping[str, Any]) -> None:
        if "event" in row:
            said.append(row["event"])

    result = await carry_out(SHORT, directory.parent, resume=directory, on_row=hear)
    return result.sha256, said


def shortened(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [Path.unlink, shortened], ids=["missing", "shortened"])
async def test_metrics_that_a_snapshot_counts_on_and_are_gone_are_refused(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    first = await carry_out(SHORT, tmp_path)
    damage(first.directory / "metrics.jsonl")
    with pytest.raises(NothingToResume, match=r"metrics\.jsonl has \d+ of the \d+ bytes .* put it"):
        await resumed(first.directory)


async def test_snapshots_of_another_run_are_refused(tmp_path: Path) -> None:
    first = await carry_out(SHORT, tmp_path)
    starts = first.directory / "starts.json"
    starts.write_text(json.dumps({"identity": "another", "starts": 1}))
    with pytest.raises(NothingToResume, match="belong to another run"):
        await resumed(first.directory)


async def test_a_run_whose_snapshots_are_all_torn_says_that_it_begins_again(tmp_path: Path) -> None:
    first = await carry_out(SHORT, tmp_path)
    for file in (first.directory / "snapshots" / "aggregator").glob("*.snapshot"):
        shortened(file)
    sha256, said = await resumed(first.directory)
    assert sha256 == first.sha256
    assert said == ["none of the 2 snapshots is whole; the run begins again with round 1"]
    assert [line["round"] for line in rows(first.directory)] == [1, 2]


async def test_a_run_without_its_snapshots_says_that_it_begins_again(tmp_path: Path) -> None:
    first = await carry_out(SHORT, tmp_path)
    for file in (first.directory / "snapshots" / "aggregator").glob("*.snapshot"):
        file.unlink()
    sha256, said = await resumed(first.directory)
    assert sha256 == first.sha256
    assert said == ["there are rounds but no snapshot; the run begins again with round 1"]


async def test_a_run_that_had_ended_says_so(tmp_path: Path) -> None:
    first = await carry_out(SHORT, tmp_path)
    said = [f"{first.directory} was complete"]
    assert await resumed(first.directory) == (first.sha256, said)


async def test_what_a_run_took_is_not_lost_by_resuming_it_when_it_is_complete(
    tmp_path: Path,
) -> None:
    disturb, kills = killing("p0", when=fit(2))
    first = await carry_out(small(), tmp_path, Processes(1), disturb=disturb)
    assert (first.restarts, len(kills)) == (1, 1)
    again = await carry_out(small(), tmp_path, resume=first.directory)
    assert again == first
    assert again.seconds == first.seconds
    compared = await carry_out(small(baselines=True), tmp_path, resume=first.directory)
    assert replace(compared, baselines=None) == first
    written = json.loads((first.directory / "result.json").read_text())
    assert written["seconds"] == first.seconds
    assert written["baselines"]["centralised"]["accuracy"] > 0.5
    # Where it is not told, this start is.
    (first.directory / "result.json").write_text("{}")
    assert (await carry_out(small(), tmp_path, resume=first.directory)).restarts == 0


def test_whoever_stops_the_baselines_has_the_result(tmp_path: Path) -> None:
    def interrupt(row: Mapping[str, Any]) -> None:
        if "computing its baselines" in row.get("event", ""):
            os.kill(os.getpid(), signal.SIGINT)

    run = small(baselines=True)
    with pytest.raises(KeyboardInterrupt) as caught:
        execute.start(run, out=tmp_path, on_row=interrupt)
    (directory,) = caught.value.args
    written = json.loads((directory / "result.json").read_text())
    assert "baselines" not in written
    result = execute.start(run, resume=directory)
    assert (result.sha256, result.seconds) == (written["sha256"], written["seconds"])
    assert result.baselines is not None


@dataclass(frozen=True)
class Sluggish(Blobs):
    """Takes its time until a worker has its data."""

    seconds: float = 2.0

    def train(self, who: Who) -> Dataset:
        if who.index == 0:
            time.sleep(self.seconds)  # what a start takes
        return super().train(who)


async def test_no_round_counts_what_a_resumed_run_takes_to_come_up(tmp_path: Path) -> None:
    run = small(task=Sluggish(seconds=0.0), topology=Star(1))
    first = await carry_out(replace(run, until=Rounds(2)), tmp_path)
    slow = replace(run, task=Sluggish(), until=Rounds(4))
    # Its source and fields are those of another run but for the time that it takes.
    (first.directory / "configuration.json").write_bytes(slow.canonical_json())
    await carry_out(slow, tmp_path, resume=first.directory)
    assert [line["round"] for line in rows(first.directory)] == [1, 2, 3, 4]
    assert all(line["seconds"] < 2.0 for line in rows(first.directory))


def test_a_run_that_cannot_be_begun_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    kept = execute.start(SHORT, out=tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(SHORT.canonical_json()) + 10, before[1]))
    try:
        with pytest.raises(RunDirectoryError, match=r"cannot write .*run\.toml"):
            execute.start(SHORT, out=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert RunDirectory.latest(tmp_path) == kept.directory
    assert [path.name for path in tmp_path.iterdir()] == [kept.directory.name]


async def test_a_run_that_goes_on_says_from_where(tmp_path: Path) -> None:
    first = await carry_out(small(until=Rounds(1)), tmp_path)
    # As if it had been killed between its last round and its end.
    (newest, *_) = sorted((first.directory / "snapshots" / "aggregator").iterdir(), reverse=True)
    newest.unlink()
    _, said = await resumed(first.directory)
    assert said == [f"resuming {first.directory} after round 1 of 2"]


async def test_a_run_whose_end_was_moved_goes_on_though_it_had_ended(tmp_path: Path) -> None:
    first = await carry_out(small(until=Rounds(1)), tmp_path)
    _, said = await resumed(first.directory)
    assert said == [f"resuming {first.directory} after round 1 of 2"]


def test_an_interrupt_names_the_directory_as_soon_as_there_is_one(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path, SHORT.name) as directory:
        directory.begin(SHORT)

    def interrupt(_: Mapping[str, Any]) -> None:
        # The first sentence of a resumed run comes before any of its actors is started.
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        execute.start(SHORT, resume=directory.path, on_row=interrupt)
    assert caught.value.args == (directory.path,)
