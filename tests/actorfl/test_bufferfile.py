"""Parts that wait for a buffer to fill: acknowledged once durable, and read back in order."""

from __future__ import annotations

import numpy as np

from actorfl.bufferfile import BufferFile, Part
from actorfl.layout import Layout
from actorfl.mean import Mean
from actorfl.terms import Sum, Terms
from actors import MemoryStorage, Snapshots

LAYOUT = Layout.of({"w": np.zeros(3, np.float32), "n": np.zeros((), np.int64)})


def part(worker: str, clock: int, version: int = 0) -> Part:
    terms = Terms(model=Sum(np.array([clock, np.pi, -0.0], np.float32), 5)).stated(
        worker=worker, clock=clock, examples=5, layout=LAYOUT,
        integers={"n": np.array(clock, np.int64)},
    )  # fmt: skip
    header, arrays = terms.to_wire()
    metrics = {"accuracy": Mean.of(0.5, weight=4)}
    return Part(worker, clock, version, 5, Mean.of(0.25), metrics, header, dict(arrays))


def file(storage: MemoryStorage, first: int, incarnation: int = 0, *, k: int = 3) -> BufferFile:
    return BufferFile(Snapshots(storage, "buffer", incarnation, keep=k + 1), first)


def told(parts: list[Part]) -> list[tuple[str, int]]:
    return [(each.worker, each.clock) for each in parts]


async def test_nothing_is_in_a_buffer_at_first() -> None:
    buffer = file(MemoryStorage(), 0)
    assert await buffer.load() == []
    assert buffer.next == 0


async def test_a_part_is_read_back_with_all_its_bits() -> None:
    storage = MemoryStorage()
    saved = part("w1", 7, version=4)
    await file(storage, 0).save(saved)
    (found,) = await file(storage, 0, 1).load()
    assert (found.worker, found.clock, found.version, found.examples) == ("w1", 7, 4, 5)
    assert (found.loss, found.metrics) == (saved.loss, saved.metrics)
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in found.arrays.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in saved.arrays.items()
    }
    terms = found.terms()
    assert terms.integers["n"] == 7
    assert [(c.worker, c.clock) for c in terms.contributions] == [("w1", 7)]
    assert (found.stamp("run").clock, found.stamp("run").version) == (7, 4)


async def test_parts_come_back_in_the_order_in_which_they_were_taken() -> None:
    storage = MemoryStorage()
    buffer = file(storage, 0)
    for worker, clock in (("b", 0), ("a", 0), ("b", 1)):
        await buffer.save(part(worker, clock))
    successor = file(storage, 0, 1)
    assert told(await successor.load()) == [("b", 0), ("a", 0), ("b", 1)]
    assert successor.next == buffer.next == 3


async def test_parts_that_are_in_a_version_are_not_read_again() -> None:
    storage = MemoryStorage()
    buffer = file(storage, 0)
    for clock in range(5):
        await buffer.save(part("a", clock))
    successor = file(storage, 3, 1)
    assert told(await successor.load()) == [("a", 3), ("a", 4)]
    assert successor.next == 5
    emptied = file(storage, 5, 2)
    assert await emptied.load() == []
    assert emptied.next == 5


async def test_a_part_that_is_torn_is_passed_over() -> None:
    storage = MemoryStorage()
    buffer = file(storage, 0)
    for clock in range(3):
        await buffer.save(part("a", clock))
    names = sorted(storage.disk)
    for torn, left in ((names[1], [("a", 0), ("a", 2)]), (names[2], [("a", 0)])):
        storage.disk[torn] = storage.disk[torn][:-9]
        assert told(await file(storage, 0, 1).load()) == left
    successor = file(storage, 0, 1)
    await successor.load()
    await successor.save(part("a", 1))
    assert told(await file(storage, 0, 2).load()) == [("a", 0), ("a", 1)]


async def test_no_more_than_a_buffer_holds_stay_on_disk() -> None:
    storage = MemoryStorage()
    buffer = file(storage, 0, k=3)
    for clock in range(20):
        await buffer.save(part("a", clock))
    assert len(storage.disk) == 4
