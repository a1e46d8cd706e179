"""A model is put together from slices of one version, in whatever order they and the word come."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from actorfl.grid import Grid
from actorfl.protocol import Stamp, pack, unpack
from actorfl.sharding import Fetch, Slice
from actorfl.slices import Complete, Slices

GRID = Grid((), 1)


def fetch(version: int, by: int = 0) -> Fetch:
    return Fetch(Stamp("r", 4, version), by, True, False, GRID, False, None)


def piece(version: int, shard: int, by: int = 0) -> Slice:
    vector = np.full(2 + shard, 10 * version + shard, np.float32)
    integers = {"steps": np.array(version)} if shard == 0 else {}
    return Slice(Stamp("r", 4, version), by, shard, pack(vector, integers))


def take(slices: Slices, message: Fetch | Slice) -> Complete | None:
    return slices.fetch(message) if isinstance(message, Fetch) else slices.slice(message)


def model(complete: Complete) -> list[float]:
    vector: list[float] = unpack(complete.weights)[0].tolist()
    return vector


def test_every_order_gives_the_model_when_the_last_has_come() -> None:
    for order in permutations(range(3)):
        messages = (fetch(1), piece(1, 0), piece(1, 1))
        slices = Slices(2)
        *before, last = [take(slices, messages[index]) for index in order]
        assert before == [None, None]
        assert last is not None
        assert model(last) == [10, 10, 11, 11, 11]
        assert unpack(last.weights)[1]["steps"] == 1
        assert not slices.waiting


def test_slices_of_two_versions_or_of_two_roots_make_none() -> None:
    slices = Slices(2)
    assert slices.fetch(fetch(2)) is None
    for message in (piece(1, 0), piece(2, 1), piece(2, 0, by=1), piece(2, 9)):
        assert slices.slice(message) is None
    assert slices.waiting
    complete = slices.slice(piece(2, 0))
    assert complete is not None
    assert model(complete) == [20, 20, 21, 21, 21]


def test_an_earlier_version_is_still_taken_while_a_later_one_is_asked_for() -> None:
    """Else who asks again while a large slice is on its way would never have one."""
    slices = Slices(2)
    slices.fetch(fetch(1))
    slices.slice(piece(1, 0))
    slices.fetch(fetch(2))
    complete = slices.slice(piece(1, 1))
    assert complete is not None
    assert (complete.fetch.stamp.version, model(complete)) == (1, [10, 10, 11, 11, 11])


def test_what_is_kept_does_not_grow() -> None:
    slices = Slices(2)
    for version in range(50):
        slices.fetch(fetch(version))
        slices.slice(piece(version, 0))
    assert repr(slices) == "<Slices of 2 asked=2 came={'0x0/48': [0], '0x0/49': [0]}>"
    assert slices.slice(piece(0, 1)) is None
