"""What an algorithm keeps at a worker: found again after any kill, whichever clock is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.algorithm import Mine
from actorfl.kept import Kept
from actors import MemoryStorage, Snapshots


def kept(storage: MemoryStorage, incarnation: int = 1) -> Kept:
    return Kept(Snapshots(storage, "worker-w0", incarnation))


def same(one: Mine, other: Mine) -> bool:
    return one.keys() == other.keys() and all(
        type(one[n]) is type(other[n]) and np.array_equal(one[n], other[n]) for n in one
    )


async def test_nothing_is_kept_at_first() -> None:
    storage = MemoryStorage()
    assert kept(storage).before(7) == {}
    await kept(storage).restore()
    assert storage.disk == {}


async def test_arrays_and_scalars_survive_the_process_bit_for_bit() -> None:
    storage = MemoryStorage()
    state: Mine = {
        "c": np.array([1.5, float("nan"), -0.0], np.float32),
        "n": np.array(3),
        "empty": np.zeros((0, 2)),
        "count": 2**40,
        "rate": 0.1,
        "name": "x/y",
        "yes": True,
    }
    await kept(storage).save(4, state)
    successor = kept(storage, 2)
    await successor.restore()
    found = successor.before(4)
    assert found.keys() == state.keys()
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            array = found[name]
            assert isinstance(array, np.ndarray)
            assert (array.dtype, array.shape) == (value.dtype, value.shape)
            assert array.tobytes() == value.tobytes()
        else:
            assert found[name] == value
            assert type(found[name]) is type(value)


async def test_a_state_of_scalars_alone_is_kept_too() -> None:
    storage = MemoryStorage()
    await kept(storage).save(1, {"count": 1})
    successor = kept(storage, 2)
    await successor.restore()
    assert successor.before(1) == {"count": 1}


async def test_what_could_not_be_read_again_is_not_kept() -> None:
    state: Any = {"x": [1]}
    with pytest.raises(ValueError, match=r"\[1\] cannot be kept as 'x'; keep arrays of"):
        await kept(MemoryStorage()).save(1, state)


async def test_what_is_kept_is_a_copy_that_nobody_can_write_to() -> None:
    storage = MemoryStorage()
    array = np.ones(3, np.float32)
    ours = kept(storage)
    await ours.save(1, {"c": array})
    array[:] = 9
    found = ours.before(1)["c"]
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 2


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12))
async def test_a_clock_starts_from_the_newest_state_before_it_with_or_without_a_kill(
    steps: list[tuple[int, bool]],
) -> None:
    """Clocks may be passed over; the clock before the last can be asked for again."""
    storage = MemoryStorage()
    ours = kept(storage)
    history: dict[int, Mine] = {}
    clock = 0
    for number, (gap, killed) in enumerate(steps):
        clock += 1 + gap
        state: Mine = {"v": np.full(2, number, np.float32), "n": number}
        await ours.save(clock, state)
        history[clock] = state
        if killed:
            ours = kept(storage, number + 2)
            await ours.restore()
        newest = sorted(history)[-2:]
        for asked in range(newest[0], clock + 3):
            expected = history[max(of for of in history if of <= asked)]
            assert same(ours.before(asked), expected)


async def test_a_clock_that_is_asked_for_late_throws_away_no_later_state() -> None:
    storage = MemoryStorage()
    worker = kept(storage)
    for clock in range(1, 5):
        await worker.save(clock, {"count": clock})
    files = dict(storage.disk)
    for late in (1, 3, 4):
        await worker.save(late, {"count": late})
    assert [worker.before(clock) for clock in (3, 4)] == [{"count": 3}, {"count": 4}]
    assert storage.disk == files


async def test_a_clock_whose_part_was_not_taken_leaves_nothing_whatever_is_killed() -> None:
    """Clock 1 was taken, 2 and 4 were not, and between them others went by."""
    storage = MemoryStorage()
    ours = kept(storage)
    await ours.save(2, {"n": 1})
    for number, clock in enumerate((2, 4, 9)):
        await ours.take_back(2, clock)
        for killed in (number == 0, number == 2):
            assert ours.before(2) == ours.before(clock) == {"n": 1}
            if killed:
                ours = kept(storage, clock + 2)
                await ours.restore()
        await ours.save(clock + 1, {"n": 100 + clock}, since=2)
        assert (ours.before(2), ours.before(clock + 1)) == ({"n": 1}, {"n": 100 + clock})
    # Its part of clock 9 was taken: on from there.
    await ours.take_back(10, 10)
    assert ours.before(10) == {"n": 109}


async def test_before_its_first_part_is_taken_a_worker_starts_from_nothing() -> None:
    storage = MemoryStorage()
    ours = kept(storage)
    await ours.save(1, {"n": 1})
    await ours.take_back(0, 1)
    assert ours.before(0) == ours.before(1) == {}
    files = dict(storage.disk)
    await ours.take_back(1, 1)
    await ours.take_back(0, 0)
    assert storage.disk == files


async def test_a_state_that_is_not_there_is_told_by_its_file() -> None:
    storage = MemoryStorage()
    ours = kept(storage)
    assert ours.lost(0, 0, always=True) is None
    for clock in (1, 2):
        await ours.save(clock, {"n": clock})
    for since, clock in ((0, 0), (1, 1), (1, 2), (2, 2), (2, 5)):
        assert ours.lost(since, clock, always=True) is None
    assert ours.lost(3, 3, always=False) is None
    (name,) = {str(ours.lost(3, clock, always=True)) for clock in (3, 4)}
    assert name == f"there is no worker-w0/{3:020d}-*.snapshot"


async def test_a_torn_state_is_lost_only_to_clocks_after_it() -> None:
    storage = MemoryStorage()
    ours = kept(storage)
    for clock in (1, 2, 3):
        await ours.save(clock, {"n": clock})
    newest = max(storage.disk)
    storage.disk[newest] = storage.disk[newest][:-1]
    again = kept(storage, 2)
    await again.restore()
    # Its worker died in the middle of it: the part that goes with it was never sent.
    assert again.lost(2, 2, always=True) is again.lost(2, 3, always=True) is None
    # It was taken, so the file was whole then.
    assert again.lost(3, 3, always=False) == f"{newest} is damaged"
    await again.save(3, {"n": 3})
    assert again.lost(3, 3, always=True) is None
    # What is said again after it has gone on is no reason to give up.
    await again.save(4, {"n": 4})
    await again.save(5, {"n": 5})
    assert again.lost(3, 3, always=True) is None
