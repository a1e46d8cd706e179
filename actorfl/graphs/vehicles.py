"""Vehicles on roads: who is near enough changes from round to round."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from actorfl.errors import WrongType, WrongValue
from actorfl.graphs.base import Graph, check_links
from actorfl.graphs.drawn import Adjacency
from actorfl.ranges import check_count, check_number
from actorfl.seeds import SEED_MAX, seed_for

_Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

#: Where a heading leads: east, north, west, south; the one behind is two further.
_STEPS: Final = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)], np.int64)
#: Vehicles are moved in whole millimetres, so that where they are is the same on every machine.
_MM: Final = 1000
#: Rounds from one state that is kept to the next: to look back costs so many steps.
_KEPT_EVERY: Final = 64
#: Rounds whose neighbours are kept: nodes of a process may be some rounds apart.
_RECENT: Final = 16
#: Crossings that a vehicle passes in a round; each is a step of all vehicles.
_CROSSINGS_MAX: Final = 64
_STREETS_MAX: Final = 1000
_REACH_MAX: Final = 1e6


@dataclass(frozen=True)
class RoadGrid:
    """Streets that cross at right angles, as in Manhattan.

    Args:
        rows: streets from west to east, 2 to 1,000.
        columns: streets from south to north, 2 to 1,000.
        block: metres from one crossing to the next, 1 to 10,000.

    Raises:
        WrongType: what is no number.
        WrongValue: a number out of range.
    """

    rows: int = 8
    columns: int = 8
    block: float = 100.0

    def __post_init__(self) -> None:
        check_count(self, "rows", 2, _STREETS_MAX)
        check_count(self, "columns", 2, _STREETS_MAX)
        check_number(self, "block", "from 1 to 10000 metres", lambda block: 1 <= block <= 1e4)


@dataclass(frozen=True)
class Vehicles(Graph):
    """Vehicles that move on roads; in a round those within radio range are neighbours.

    Each has a speed of its own, begins on a drawn street, and at each crossing goes straight on or
    turns, all with the same probability, and never back. Who is near whom in a round follows from
    the seed alone. Any two may meet, so all are wired to all; one that is near nobody waits for
    nobody.

    Args:
        nodes: how many, 2 to 1,024; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        roads: where they move.
        reach: metres within which two hear each other, as the crow flies, above 0.
        speed: metres a second of the slowest and the fastest; that of each is drawn between them.
        seconds: from one round to the next, as the vehicles move, above 0.
        seed: what starts, speeds and turns are drawn by, 0 to 2^63 - 1.

    Raises:
        WrongType: what is no number.
        WrongValue: a number out of range, or more than 64 crossings a round.
    """

    roads: RoadGrid = field(default_factory=RoadGrid, kw_only=True)
    reach: float = field(default=150.0, kw_only=True)
    speed: tuple[float, float] = field(default=(8.0, 14.0), kw_only=True)
    seconds: float = field(default=5.0, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.roads, RoadGrid):
            raise WrongType("`roads` of Vehicles", "a RoadGrid", self.roads)
        check_number(self, "reach", "above 0, 1e6 at most", lambda reach: 0 < reach <= _REACH_MAX)
        check_number(self, "seconds", "above 0, 3600 at most", lambda each: 0 < each <= 3600)
        check_count(self, "seed", 0, SEED_MAX)
        need = "two numbers of metres a second, the smaller one first, from 0 to 100"
        if not isinstance(self.speed, tuple) or len(self.speed) != 2:
            raise WrongType("`speed` of Vehicles", need, self.speed)
        for each in self.speed:
            if isinstance(each, bool) or not isinstance(each, int | float):
                raise WrongType("`speed` of Vehicles", need, self.speed)
        slow, fast = self.speed
        if not 0 <= slow <= fast <= 100:
            raise WrongValue("`speed` of Vehicles", need, self.speed)
        object.__setattr__(self, "speed", (float(slow), float(fast)))
        if fast * self.seconds > _CROSSINGS_MAX * self.roads.block:
            raise WrongValue.saying(
                f"a vehicle of {fast:g} m/s passes more than {_CROSSINGS_MAX} crossings in a round "
                f"of {self.seconds:g} s; use fewer `seconds`, or roads with larger blocks"
            )
        check_links(self, self.count * (self.count - 1))

    def beside(self, place: int) -> Iterable[int]:
        """Everyone."""
        return self.others(place)

    def targets(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """Those within reach in a round, in the order of the nodes."""
        return self.called(self._fleet.near(round)[self.place_of(name)])

    def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """Those within reach in a round, in the order of the nodes."""
        return self.targets(name, round)

    @property
    def fixed(self) -> bool:
        """Never, though nobody moves at speed 0."""
        return False

    def positions(self, round: int) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: A002
        """Where all are in a round, in the order of the nodes.

        Args:
            round: from 0.

        Returns:
            Shape (nodes, 2), float64: metres east and north of the crossing in the south-west.

        Raises:
            WrongType: the round is no whole number.
            WrongValue: it is below 0.
        """
        if isinstance(round, bool) or not isinstance(round, int):
            raise WrongType("a round", "an int, at least 0", round)
        if round < 0:
            raise WrongValue("a round", "at least 0", round)
        return self._fleet.metres(round)

    @functools.cached_property
    def _fleet(self) -> _Fleet:
        return _Fleet(self)


class _State(NamedTuple):
    """All vehicles at the beginning of a round.

    Attributes:
        crossing: that they passed last; (n, 2), column and row.
        heading: from there, see ``_STEPS``.
        gone: millimetres from there.
    """

    crossing: _Ints
    heading: _Ints
    gone: _Ints


class _Fleet:
    """Moves the vehicles, and keeps some of the states on the way."""

    def __init__(self, vehicles: Vehicles) -> None:
        self._seed = vehicles.seed
        self._size = np.array((vehicles.roads.columns, vehicles.roads.rows), np.int64)
        self._block = round(vehicles.roads.block * _MM)
        self._reach = round(vehicles.reach * _MM)
        rng = np.random.default_rng(seed_for(self._seed, "", 0, "vehicles"))
        count = vehicles.count
        slow, fast = (round(each * vehicles.seconds * _MM) for each in vehicles.speed)
        self._speed: _Ints = rng.integers(slow, fast + 1, count)
        crossing: _Ints = rng.integers(0, self._size, (count, 2))
        heading = self._turn(crossing, np.full(count, -1, np.int64), rng)
        gone: _Ints = rng.integers(0, self._block, count)
        self._kept = {0: _State(crossing, heading, gone)}
        self._near: dict[int, Adjacency] = {}
        self._last = (0, self._kept[0])

    def near(self, number: int) -> Adjacency:
        """Who hears whom in a round."""
        found = self._near.get(number)
        if found is None:
            at = self._millimetres(number)
            apart = ((at[:, None, :] - at[None, :, :]) ** 2).sum(axis=2)
            close = apart <= self._reach**2
            np.fill_diagonal(close, val=False)
            found = tuple(tuple(np.flatnonzero(row).tolist()) for row in close)
            self._near[number] = found
            while len(self._near) > _RECENT:
                del self._near[next(iter(self._near))]
        return found

    def metres(self, number: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Where they are in a round."""
        found: np.ndarray[Any, np.dtype[np.float64]] = self._millimetres(number) / _MM
        return found

    def _millimetres(self, number: int) -> _Ints:
        state = self._at(number)
        found: _Ints = state.crossing * self._block + _STEPS[state.heading] * state.gone[:, None]
        return found

    def _at(self, number: int) -> _State:
        begin, state = self._last
        if begin > number:
            begin = number - number % _KEPT_EVERY
            state = self._kept[begin]
        for each in range(begin, number):
            state = self._moved(state, each)
            if (each + 1) % _KEPT_EVERY == 0:
                self._kept[each + 1] = state
        self._last = (number, state)
        return state

    def _moved(self, state: _State, number: int) -> _State:
        """The state a round later."""
        rng = np.random.default_rng(seed_for(self._seed, "", number + 1, "vehicles"))
        crossing, heading, gone = state.crossing, state.heading, state.gone + self._speed
        while (past := gone >= self._block).any():
            # All draw, so that what one draws does not depend on who else is at a crossing.
            on = crossing + _STEPS[heading]
            turned = self._turn(np.where(past[:, None], on, crossing), heading, rng)
            crossing = np.where(past[:, None], on, crossing)
            heading = np.where(past, turned, heading)
            gone = np.where(past, gone - self._block, gone)
        return _State(crossing, heading, gone)

    def _turn(self, crossing: _Ints, heading: _Ints, rng: np.random.Generator) -> _Ints:
        """Draw where each goes on from a crossing: anywhere, but not back and not off the roads."""
        onward = crossing[:, None, :] + _STEPS[None, :, :]
        free = ((onward >= 0) & (onward < self._size)).all(axis=2)
        behind = (heading + 2) % 4
        free &= (np.arange(4) != behind[:, None]) | (heading < 0)[:, None]
        # A grid has two streets and more each way, so that there is always another one.
        pick = (rng.random(len(crossing)) * free.sum(axis=1)).astype(np.int64)
        found: _Ints = np.argmax(free.cumsum(axis=1) == pick[:, None] + 1, axis=1).astype(np.int64)
        return found
