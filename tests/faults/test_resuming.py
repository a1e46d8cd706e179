"""What a resumed run finds missing is refused before anything starts, or told in a sentence."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from actorfl import Rounds, execute
from actorfl.errors import NothingToResume
from actorfl.rundir import RunDirectory
from tests.faults.runs import carry_out, rows, small

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
