"""What is looked at before a run is resumed: is what it goes on from still there?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from actorfl import checkpoint, lookingon
from actorfl.contributors import keeps_at_workers
from actorfl.errors import NothingToResume
from actorfl.kept import folder_of
from actorfl.periods import lines_of
from actorfl.rundir import RunDirectory, shown
from actorfl.topology import Peers
from actorfl.until import Rounds
from actors import Snapshots, Storage

if TYPE_CHECKING:
    from actorfl.run import Run


class Resumed(NamedTuple):
    """Where a resumed run goes on.

    Attributes:
        sentence: the same for people.
        clock: rounds that it goes on after; 0 from the beginning.
        complete: whether nothing is left to do.
    """

    sentence: str
    clock: int
    complete: bool = False


async def checked(directory: RunDirectory, storage: Storage, identity: str, run: Run) -> Resumed:
    """Look at the checkpoint that a resumed run goes on from.

    Args:
        directory: of the run.
        storage: the same directory, as the aggregator sees it.
        identity: of the run.
        run: that is resumed.

    Returns:
        Where the run goes on.

    Raises:
        NothingToResume: the checkpoint belongs to another run or another version of this program,
            or the metrics that it counts on are gone, or it is older than what workers keep.
        StorageError: the disk refused.
    """
    if isinstance(run.topology, Peers):
        return await _checked_nodes(run, directory, storage, identity)
    until = run.until
    # Only read, so the incarnation does not matter.
    snapshots = Snapshots(storage, checkpoint.FOLDER, 0)
    path = directory.path
    try:
        found = await checkpoint.load(snapshots)
    except (msgspec.DecodeError, ValueError) as error:
        raise NothingToResume(path, f"its snapshots cannot be read here: {error}") from error
    written = await storage.size(checkpoint.METRICS) or 0
    if found is None:
        damaged = snapshots.statistics().skipped
        if keeps_at_workers(run):  # what was kept of the rounds that are begun again
            for name in run.topology.names:
                await Snapshots(storage, folder_of(name), 0).remove_newer(-1)
        if damaged:
            begins = f"none of the {damaged} snapshots is whole; the run begins again with round 1"
            return Resumed(begins, 0)
        if written:
            return Resumed("there are rounds but no snapshot; the run begins again with round 1", 0)
        return Resumed(f"resuming {shown(path)} from its beginning", 0)
    header = found.header
    if header.identity != identity:
        raise NothingToResume(path, f"its snapshots belong to another run ({header.identity})")
    if header.offset > written:
        reason = (
            f"{checkpoint.METRICS} has {written} of the {header.offset} bytes that the snapshot "
            f"of round {header.progress.rounds} counts on; put it back"
        )
        raise NothingToResume(path, reason)
    if keeps_at_workers(run) and (ahead := await _ahead(storage, header, run)) is not None:
        name, computed = ahead
        needed = snapshots.damaged.get(2 * computed - 2, snapshots.named(2 * computed - 2))
        reason = (
            f"its newest whole snapshot was made after round {header.progress.rounds}, and {name} "
            f"has computed round {computed} since and no longer keeps what it had then, so the "
            f"model would have other bits; put {needed} back"
        )
        raise NothingToResume(path, reason)
    if header.finished and until.reached(header.progress):
        return Resumed(f"{shown(path)} was complete", header.progress.rounds, complete=True)
    of = f" of {until.rounds}" if isinstance(until, Rounds) else ""
    return Resumed(
        f"resuming {shown(path)} after round {header.progress.rounds}{of}", header.progress.rounds
    )


async def _ahead(storage: Storage, header: checkpoint.Header, run: Run) -> tuple[str, int] | None:
    """A worker that has kept something of later clocks than the aggregator knows of; and how many.

    None where there is none, or where a buffer's own files tell what was taken since.
    """
    if run.sync.buffer > 1:
        return None
    clocks = None if header.flow is None else header.flow.clocks
    for name in run.topology.names:
        clock = header.clock if clocks is None else clocks.get(name)
        counters = await Snapshots(storage, folder_of(name), 0).counters()
        if clock is not None and counters and counters[-1] > clock + 1:
            return name, counters[-1]
    return None


async def _checked_nodes(
    run: Run, directory: RunDirectory, storage: Storage, identity: str
) -> Resumed:
    """The same for a run without a centre, whose nodes each go on from their own newest save."""
    path = directory.path
    try:
        found = await lookingon.load(Snapshots(storage, lookingon.FOLDER, 0), lookingon.Header)
    except (msgspec.DecodeError, ValueError) as error:
        raise NothingToResume(path, f"its snapshots cannot be read here: {error}") from error
    written = await storage.size(checkpoint.METRICS) or 0
    if found is None:
        return Resumed(f"resuming {shown(path)} from its beginning", 0)
    if found.identity != identity:
        raise NothingToResume(path, f"its snapshots belong to another run ({found.identity})")
    if found.offset > written:
        reason = (
            f"{checkpoint.METRICS} has {written} of the {found.offset} bytes that the snapshot "
            f"of round {found.rounds} counts on; put it back"
        )
        raise NothingToResume(path, reason)
    if found.finished and found.rounds >= lines_of(run):
        return Resumed(f"{shown(path)} was complete", found.rounds, complete=True)
    return Resumed(f"resuming {shown(path)} after round {found.rounds}", found.rounds)
