"""What the launcher gives of the metrics: each line once, in order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from actorfl.checkpoint import METRICS
from actorfl.rows import Rows, whole_rows
from actors import MemoryStorage, StorageError


def line(number: int) -> bytes:
    return text(number).encode() + b"\n"


def text(number: int) -> str:
    return json.dumps({"round": number, "updates": 4})


class Refusing(MemoryStorage):
    """A storage that can be told to refuse."""

    refuses = False

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        if self.refuses:
            raise StorageError(f"cannot read {name}")
        return await super().read(name, limit=limit)


class World:
    """A storage whose lines are written as they are by an aggregator, and what was given."""

    def __init__(self) -> None:
        self.storage = Refusing()
        self.given: list[int] = []
        self.rows = Rows(self.storage, self.give)
        self.rows.begin()

    def give(self, row: dict[str, Any]) -> None:
        self.given.append(row["round"])

    def write(self, count: int, tail: bytes = b"") -> None:
        self.storage.disk[METRICS] = b"".join(map(line, range(1, count + 1))) + tail


@pytest.fixture
def world() -> World:
    return World()


async def test_what_was_missed_is_given_before_a_later_line(world: World) -> None:
    world.write(4)
    for number in (1, 4, 2, 4, 3, 1):
        await world.rows.told(number, text(number))
    assert world.given == [1, 2, 3, 4]


async def test_what_was_never_told_is_given_at_the_end(world: World) -> None:
    world.write(3)
    await world.rows.told(1, text(1))
    assert await world.rows.catch_up()
    assert await world.rows.catch_up()
    assert world.given == [1, 2, 3]


async def test_a_line_that_is_being_written_is_given_when_it_is_told(world: World) -> None:
    world.write(2, tail=line(3)[:-1])
    await world.rows.catch_up()
    assert world.given == [1, 2]
    await world.rows.told(3, text(3))
    assert world.given == [1, 2, 3]


async def test_a_later_line_is_given_where_the_missed_ones_are_gone(world: World) -> None:
    await world.rows.told(3, text(3))
    assert world.given == [3]


async def test_a_storage_that_refuses_delays_lines_and_loses_none(world: World) -> None:
    world.write(3)
    world.storage.refuses = True
    await world.rows.told(2, text(2))
    assert not await world.rows.catch_up()
    assert world.given == []
    world.storage.refuses = False
    await world.rows.told(3, text(3))
    assert world.given == [1, 2, 3]


async def test_a_callback_that_raises_is_not_called_again_with_the_same_line() -> None:
    world = World()
    world.write(3)

    def give(row: dict[str, Any]) -> None:
        world.give(row)
        if row["round"] == 2:
            raise ValueError("no")

    rows = Rows(world.storage, give)
    rows.begin()
    with pytest.raises(ValueError, match="no"):
        await rows.told(3, text(3))
    await rows.told(3, text(3))
    assert world.given == [1, 2, 3]


@pytest.mark.parametrize(("clock", "first"), [(0, 1), (2, 3), (3, 4), (7, 4)])
async def test_a_resumed_start_gives_what_it_adds(world: World, clock: int, first: int) -> None:
    world.write(3)
    await world.rows.resume(clock)
    world.write(5)
    await world.rows.told(5, text(5))
    assert world.given == list(range(first, 6))


@pytest.mark.parametrize(
    "tail", [b"", b'{"round": 2', b'{"round": 2}', b"[2]\n", b'{"updates": 4}\n', b"\xff\n"]
)
def test_lines_are_read_as_far_as_they_are_whole(tail: bytes) -> None:
    assert [row["round"] for row in whole_rows(line(1) + tail)] == [1]


async def test_no_line_is_given_before_whoever_started_the_run_has_it_in_hand() -> None:
    given: list[int] = []
    rows = Rows(MemoryStorage(), lambda row: given.append(row["round"]))
    told = [asyncio.ensure_future(rows.told(n, f'{{"round": {n}}}')) for n in (1, 2)]
    await asyncio.sleep(0)
    assert not given
    rows.begin()
    await asyncio.gather(*told)
    assert given == [1, 2]
