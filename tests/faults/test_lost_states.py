"""A run that is resumed, and what its workers had kept is gone: refused, and never other bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import Quorum, Result, Rounds, Run, RunFailed, Sample, Scaffold, Tree
from actorfl.errors import NothingToResume
from actors import Simulated
from tests.faults.runs import carry_out, small

pytestmark = pytest.mark.timeout(120)

TREE = Tree(root=1, edge=2, worker=4)


def run_of(rounds: int, **changed: Any) -> Run:
    return small(**{"algorithm": Scaffold(), "until": Rounds(rounds), **changed})


def played(run: Run, out: Path, resume: Path | None = None) -> Result:
    on = Simulated(2)
    return actors.run(carry_out(run, out, on, resume=resume), on=on)


def files(result: Result, of: str) -> list[Path]:
    """Oldest first."""
    return sorted((result.directory / "snapshots" / of).glob("*.snapshot"))


def shortened(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    "changed",
    # A quorum of all: none misses a round, and what is missing is told by the root all the same.
    [{}, {"topology": TREE}, {"topology": TREE, "sync": Quorum(1.0)}],
    ids=["star", "tree", "quorums"],
)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (shortened, r"snapshots/worker-w1/0+2-\d+\.snapshot is damaged"),
        (Path.unlink, r"there is no snapshots/worker-w1/0+2-\*\.snapshot"),
    ],
    ids=["damaged", "missing"],
)
def test_a_worker_whose_state_is_gone_ends_the_run_and_names_the_file(
    damage: Callable[[Path], None], says: str, changed: dict[str, Any], tmp_path: Path
) -> None:
    first = played(run_of(2, **changed), tmp_path)
    damage(files(first, "worker-w1")[-1])
    with pytest.raises(
        RunFailed, match=rf"w1 goes on from what it kept before its round 3, .*{says}"
    ):
        played(run_of(4, **changed), tmp_path, first.directory)


def test_all_that_a_worker_kept_is_gone(tmp_path: Path) -> None:
    first = played(run_of(2), tmp_path)
    for file in files(first, "worker-w1"):
        file.unlink()
    with pytest.raises(RunFailed, match="there is no snapshots/worker-w1"):
        played(run_of(4), tmp_path, first.directory)


def test_a_damaged_state_is_noticed_where_some_are_selected(tmp_path: Path) -> None:
    changed = {"select": Sample(count=3)}
    first = played(run_of(2, **changed), tmp_path)
    for number in range(4):
        if found := files(first, f"worker-w{number}"):
            shortened(found[-1])
    with pytest.raises(RunFailed, match=r"snapshots/worker-w\d/\S+\.snapshot is damaged"):
        played(run_of(4, **changed), tmp_path, first.directory)


def test_an_older_state_is_not_missed(tmp_path: Path) -> None:
    expected = played(run_of(4), tmp_path)
    first = played(run_of(2), tmp_path)
    for number in range(4):
        shortened(files(first, f"worker-w{number}")[0])
    assert played(run_of(4), tmp_path, first.directory).sha256 == expected.sha256


@pytest.mark.parametrize("damage", [Path.unlink, shortened], ids=["missing", "damaged"])
def test_a_run_that_begins_again_forgets_what_its_workers_kept(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    first = played(run_of(3), tmp_path)
    for file in files(first, "aggregator"):
        damage(file)
    assert played(run_of(3), tmp_path, first.directory).sha256 == first.sha256


def test_workers_that_are_ahead_of_the_last_snapshot_are_refused(tmp_path: Path) -> None:
    first = played(run_of(3, record=True), tmp_path)
    newest = files(first, "aggregator")
    for file in newest[2:]:  # those after the first round and later
        shortened(file)
    with pytest.raises(NothingToResume, match=r"made after round 1, and w0 has computed round 3"):
        played(run_of(4, record=True), tmp_path, first.directory)


def test_what_keeps_nothing_goes_on_from_any_snapshot(tmp_path: Path) -> None:
    expected = small(until=Rounds(3), record=True)
    first = played(expected, tmp_path)
    for file in files(first, "aggregator")[2:]:
        shortened(file)
    assert played(expected, tmp_path, first.directory).sha256 == first.sha256
