"""What an aggregator makes durable before the first ``Go`` of a clock leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from actorfl.algorithm import Algorithm, ServerState, StateHeader
from actorfl.fingerprint import Fingerprint
from actorfl.layout import Layout
from actorfl.protocol import pack
from actorfl.records import Record
from actorfl.until import Progress
from actorfl.window import Window
from actors import Snapshots
from actors.crashpoints import crash_point
from transports import TensorSpec, Weights

FOLDER = "snapshots/aggregator"
"""Where an aggregator's checkpoints lie in the storage of its run."""

METRICS = "metrics.jsonl"
"""The rounds of a run, in the same storage; a checkpoint knows how far its lines are true."""


class PendingRow(msgspec.Struct, frozen=True, array_like=True):
    """A round that is closed and whose evaluation is still to come.

    Attributes:
        round: rounds completed.
        fields: what is known of it.
        due: whether its version is to be evaluated.
        judged: whether an evaluation of it counts in ``Header.records`` already.
    """

    round: int
    fields: dict[str, Any]
    due: bool
    judged: bool = False


class FlowHeader(msgspec.Struct, frozen=True, array_like=True):
    """What is durable of a run without a barrier, see ``Flow``.

    Attributes:
        clocks: of each worker.
        updates: parts that were taken or refused.
        window: of what came since the last round.
        kept: the number of the first part in the buffer's files that is in no version.
        refused: (worker, clock) of parts that were refused after one of the same worker that is in
            the buffer's files; they are not counted in ``clocks`` and ``updates``.
        slowest: the clock of the slowest that is of the run; None: all are.
    """

    clocks: dict[str, int]
    updates: int
    window: Window
    kept: int = 0
    refused: tuple[tuple[str, int], ...] = ()
    slowest: int | None = None


class Header(msgspec.Struct, frozen=True, array_like=True):
    """All of a checkpoint but its arrays.

    Attributes:
        identity: of the run; another run's checkpoint is refused.
        clock: the clock that is open, or is to be opened.
        layout: of the model.
        state: of the algorithm.
        arrays: layout of the saved arrays.
        examples: of each worker; they make the grids.
        offset: length of the metrics file up to which its lines are true.
        pending: the round whose line is still to be written.
        last: round and text of the last line written.
        finished: whether the final model has been written.
        metrics: of the last version evaluated.
        numerics: fingerprint of the first worker, which the others are compared with.
        unpromised: why the bits of the run are not promised, by worker.
        updates: parts that were taken or refused in closed rounds.
        durations: seconds of the last closed rounds, for a deadline that adapts to them.
        flow: of a run without a barrier; None of others.
        missed: the first clock whose part was not taken, of those whose last one was not: of the
            roster, and of workers below it where these are told.
        seconds: see ``Progress``.
        records: see ``Progress``.
        gone: see ``Roster``.
    """

    identity: str
    clock: int
    layout: Layout
    state: StateHeader
    arrays: tuple[TensorSpec, ...]
    examples: dict[str, int]
    offset: int
    pending: PendingRow | None
    last: tuple[int, str] | None
    finished: bool
    metrics: dict[str, float | None]
    numerics: Fingerprint | None = None
    unpromised: dict[str, str] = msgspec.field(default_factory=dict)
    updates: int = 0
    durations: tuple[float, ...] = ()
    flow: FlowHeader | None = None
    missed: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    records: dict[str, Record] = msgspec.field(default_factory=dict)
    gone: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def progress(self) -> Progress:
        """How far the run had come."""
        if self.flow is None:
            counts = (self.clock, self.clock, self.clock, self.updates)
        else:
            clocks, updates = self.flow.clocks, self.flow.updates
            slowest = self.flow.slowest
            if slowest is None:
                slowest = min(clocks.values())
            counts = (updates // len(clocks), slowest, self.clock, updates)
        return Progress(*counts, self.seconds, self.records)


class Checkpoint(msgspec.Struct, frozen=True):
    """A header and the state that its arrays are part of."""

    header: Header
    state: ServerState


async def save(snapshots: Snapshots, header: Header, state: ServerState) -> None:
    """Make a checkpoint durable; its counter is twice the clock, plus one when finished.

    Args:
        snapshots: of the aggregator.
        header: ``state`` and ``arrays`` in it are replaced by what fits.
        state: the model and the algorithm's state.
    """
    state_header, arrays = state.to_wire()
    packed = Weights.of(arrays)
    whole = msgspec.structs.replace(header, state=state_header, arrays=packed.layout)
    counter = 2 * header.clock + int(header.finished)
    await snapshots.save(counter, msgspec.msgpack.encode(whole), [packed.buffer])
    crash_point("aggregator.saved", header.clock)


async def load(snapshots: Snapshots, upto: int | None = None) -> Checkpoint | None:
    """The newest whole checkpoint, or None.

    Args:
        snapshots: of the aggregator.
        upto: the last clock that counts; None for any.
    """
    found = await snapshots.latest(None if upto is None else 2 * upto + 1)
    if found is None:
        return None
    header = msgspec.msgpack.decode(found.header, type=Header)
    packed = Weights(header.arrays, found.arrays[0])
    # Copied: the arrays of a snapshot are views of its file's bytes.
    arrays = {name: np.array(packed[name]) for name in packed.names()}
    return Checkpoint(header, ServerState.from_wire(header.state, arrays))


async def clocks(snapshots: Snapshots) -> tuple[int, ...]:
    """The clocks of which there are checkpoints, whole or not, in order."""
    return tuple(sorted({counter // 2 for counter in await snapshots.counters()}))


def down_of(algorithm: Algorithm, state: ServerState) -> Weights:
    """What the workers compute a clock from, as it goes down to them."""
    extras = algorithm.down(state)
    extras.pop("model", None)
    return pack(state.weights, state.buffers, extras)
