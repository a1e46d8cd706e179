"""What an aggregator makes durable, and finds again."""

from __future__ import annotations

import numpy as np

from actorfl import checkpoint
from actorfl.algorithm import ServerState
from actorfl.checkpoint import Header, PendingRow
from actorfl.layout import Layout
from actors import MemoryStorage, Snapshots

LAYOUT = Layout.of({"w": np.zeros((2, 2), np.float32), "n": np.array(0)})


def header(clock: int, *, finished: bool = False) -> Header:
    state = ServerState(np.zeros(4, np.float32))
    return Header(
        identity="abc",
        clock=clock,
        layout=LAYOUT,
        state=state.to_wire()[0],
        arrays=(),
        examples={"w0": 3, "w1": 0},
        offset=120,
        pending=PendingRow(clock, {"updates": 2, "refused": {"w1": "shape"}}, True),
        last=(clock - 1, "{}"),
        finished=finished,
        metrics={"accuracy": 0.5, "loss": None},
    )


def state(value: float) -> ServerState:
    return ServerState(
        np.array([value, float("inf"), -0.0, 1e-40], np.float32),
        {"n": np.array(2**53 + 1)},
        {"momentum": np.arange(4, dtype=np.float64)},
        {"step": 2**40, "beta": 0.9, "name": "adam"},
    )


async def test_without_a_checkpoint_there_is_none() -> None:
    assert await checkpoint.load(Snapshots(MemoryStorage(), "a", 1)) is None


async def test_everything_comes_back_bit_for_bit() -> None:
    storage = MemoryStorage()
    saved = state(0.1)
    await checkpoint.save(Snapshots(storage, "a", 1), header(3), saved)
    found = await checkpoint.load(Snapshots(storage, "a", 2))
    assert found is not None
    assert found.state.weights.tobytes() == saved.weights.tobytes()
    assert found.state.buffers["n"].dtype == np.int64
    assert found.state.buffers["n"] == 2**53 + 1
    assert found.state.buffers["n"].shape == ()
    assert found.state.vectors["momentum"].tolist() == [0, 1, 2, 3]
    assert found.state.scalars == saved.scalars
    expected = header(3)
    for name in ("identity", "clock", "layout", "examples", "offset", "pending", "last", "metrics"):
        assert getattr(found.header, name) == getattr(expected, name)


async def test_the_later_clock_counts_and_the_end_counts_after_its_clock() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "a", 1)
    for clock, finished in ((0, False), (1, False), (1, True)):
        await checkpoint.save(snapshots, header(clock, finished=finished), state(clock))
    found = await checkpoint.load(snapshots)
    assert found is not None
    assert (found.header.clock, found.header.finished) == (1, True)
    # Resumed to go further: the next clock comes after the end.
    await checkpoint.save(Snapshots(storage, "a", 2), header(2), state(2))
    further = await checkpoint.load(snapshots)
    assert further is not None
    assert (further.header.clock, further.header.finished) == (2, False)


async def test_a_torn_checkpoint_falls_back_to_the_one_before() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "a", 1)
    for clock in (4, 5):
        await checkpoint.save(snapshots, header(clock), state(clock))
    newest = max(storage.disk)
    storage.disk[newest] = storage.disk[newest][:-1]
    found = await checkpoint.load(Snapshots(storage, "a", 2))
    assert found is not None
    assert found.header.clock == 4
