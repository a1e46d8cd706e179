"""How fast a fleet without a centre knows of ice on one road: an epidemic among vehicles that meet.

python driving.py [--seconds N] [--seeds N] [--vehicles N] [--out DIR]

Each vehicle learns how much grip streets have from what its wheels tell, and hands what it knows to
somebody in radio range, once a second. Their computers come and go. Virtual time costs none.
"""

import argparse
import asyncio
import functools
import logging
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import actors
from actorfl import RoadGrid, Vehicles
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Churn,
    Custom,
    FaultPlan,
    Message,
    Process,
    Simulated,
    one_for_one,
)

#: A town of 900 by 900 metres.
ROADS = RoadGrid(rows=10, columns=10, block=100)
STREETS = 2 * 10 * 9
#: The street that freezes over, in the middle of the town, and the second at which it does.
ICY, FROZEN = 4 * 9 + 4, 60
#: Grip, as a coefficient of friction, and its standard deviation as wheels measure it.
DRY, ICE, NOISE = 0.8, 0.2, 0.1
#: Learning rate of a measurement: how far the weight of a street moves towards it.
RATE = 0.3
#: Share of the time that a vehicle's computer is off while the vehicle drives on, and mean seconds
#: for which it is on.
OFF, SESSION = 0.1, 300.0
#: The second from which computers go off.
BEGUN = 5.0
#: Seconds from one save to the next. What was learned since is lost to a computer that goes off.
SAVE = 10

#: What a message has of a street.
PART = np.dtype([("street", "<u2"), ("second", "<u4"), ("grip", "<f4")])


@dataclass(frozen=True)
class Way:
    """How vehicles share what they know.

    Attributes:
        merge: the newest weight of each street, or the mean of models by their ages, or none.
        share: of the streets that are in a message, drawn for each.
    """

    merge: Literal["newest", "mean", "none"]
    share: float = 1.0


WAYS: Mapping[str, Way] = {
    "newest of each street": Way("newest"),
    "the same, a tenth a message": Way("newest", share=0.1),
    "mean of models by age": Way("mean"),
    "nobody talks": Way("none"),
}


class Drive(Message[None]):
    pass


class Heard(Message[None]):
    age: int
    parts: bytes


class Vehicle(Actor):
    """Learns a weight for each street, its grip, and gossips."""

    def __init__(
        self, *, index: int, count: int, seed: int, way: Way, peers: dict[str, ActorRef]
    ) -> None:
        self._index, self._fleet, self._way, self._peers = index, town(count, seed), way, peers
        self._name = self._fleet.names[index]
        self._model = np.zeros(STREETS, PART)
        self._model["street"], self._model["grip"] = np.arange(STREETS), DRY
        self._age = self._saves = self._driven = self._messages = self._bytes = 0
        self._knew: bool | None = None  # it has not told yet

    async def on_start(self) -> None:
        found = await self.snapshots().latest()
        if found is not None:
            self._saves, self._age = found.counter, int(found.header)
            self._model = np.frombuffer(bytes(found.arrays[0]), PART).copy()
        self._random = random.Random(f"{self._fleet.seed} {self._name} {self._saves}")
        self._tell_whether_it_knows()
        self.timers.start("drive", Drive(), after=self._random.random(), every=1.0)

    async def drive(self, message: Drive) -> None:
        """A second is over: learn from it, and hand on what is known."""
        second = int(self.clock.now())
        self._learn(streets(self._fleet, second)[self._index], second)
        near = [self._peers[name] for name in self._fleet.targets(self._name, second)]
        near = [each for each in near if each.node_is_up]
        if near and self._way.merge != "none":
            self._send(self._random.choice(near))
        self._driven += 1
        if self._driven % SAVE == 0:
            self._saves += 1
            await self.snapshots().save(
                self._saves, str(self._age).encode(), [self._model.tobytes()]
            )
            self.publish("sent", seconds=SAVE, messages=self._messages, bytes=self._bytes)
            self._messages = self._bytes = 0

    def _learn(self, street: int, second: int) -> None:
        """A step of gradient descent on the squared error of the street's weight."""
        grip = ICE if street == ICY and second >= FROZEN else DRY
        measured = self._random.gauss(grip, NOISE)
        self._model["grip"][street] += RATE * (measured - self._model["grip"][street])
        self._model["second"][street] = second
        self._age += 1
        self._tell_whether_it_knows()

    def _send(self, peer: ActorRef) -> None:
        chosen = self._random.sample(range(STREETS), round(self._way.share * STREETS))
        parts = self._model[sorted(chosen)].tobytes()
        self._messages += 1
        self._bytes += len(parts)
        peer.tell(Heard(self._age, parts))

    def heard(self, message: Heard) -> None:
        """Merge what another one knows."""
        if len(message.parts) % PART.itemsize or message.age < 0:
            return
        theirs = np.frombuffer(message.parts, PART)
        at = theirs["street"]
        if not np.isfinite(theirs["grip"]).all() or at.max(initial=0) >= STREETS:
            return
        mine = self._model
        if self._way.merge == "newest":
            newer = theirs["second"] > mine["second"][at]
            mine[at[newer]] = theirs[newer]
        else:
            weight = message.age / max(1, self._age + message.age)
            mine["grip"][at] += weight * (theirs["grip"] - mine["grip"][at])
            self._age = max(self._age, message.age)
        self._tell_whether_it_knows()

    def _tell_whether_it_knows(self) -> None:
        """It knows when it takes the street for rather icy than dry."""
        knows = bool(self._model["grip"][ICY] < (DRY + ICE) / 2)
        if knows != self._knew:
            self._knew = knows
            self.publish("knows", yes=knows)


@functools.cache
def town(count: int, seed: int) -> Vehicles:
    """The fleet: radios reach 120 metres, and each second others are near."""
    return Vehicles(count, roads=ROADS, reach=120, speed=(8, 14), seconds=1, seed=seed)


@functools.lru_cache(maxsize=16)
def streets(fleet: Vehicles, second: int) -> NDArray[np.int64]:
    """On which street each vehicle is: first those from west to east, row by row."""
    east, north = (fleet.positions(second) / ROADS.block).T
    along = north == np.round(north)
    west, south = (
        np.minimum(np.floor(east), np.where(along, ROADS.columns - 2, ROADS.columns - 1)),
        np.minimum(np.floor(north), np.where(along, ROADS.rows - 1, ROADS.rows - 2)),
    )
    across = (ROADS.columns - 1) * ROADS.rows  # streets from west to east
    found: NDArray[np.int64] = np.where(
        along, south * (ROADS.columns - 1) + west, across + west * (ROADS.rows - 1) + south
    ).astype(np.int64)
    return found


@dataclass(frozen=True)
class Outcome:
    """What came of a fleet.

    Attributes:
        knowing: share of the fleet that knows, for each second since it froze.
        messages: that a vehicle sends in a minute in which its computer is on.
        nbytes: that it sends of what it learned, in such a minute.
    """

    knowing: NDArray[np.float64]
    messages: float
    nbytes: float

    def reaches(self, share: float) -> int | None:
        """Seconds since it froze until so many know; None if they never do."""
        found = np.flatnonzero(self.knowing >= share)
        return int(found[0]) if len(found) else None


async def outcome(way: Way, count: int, seed: int, seconds: int, storage: Path) -> Outcome:
    """Have a fleet drive, each vehicle in a process of its own."""
    fleet = town(count, seed)
    graph = ActorGraph("driving")
    with graph.supervisor("fleet", one_for_one(outside=1000), place=Process()):
        for index, name in enumerate(fleet.names):
            peers = {each: graph.link(each, Vehicle, mutual=True) for each in fleet.names}
            del peers[name]
            graph.actor(name, Vehicle, index=index, count=count, seed=seed, way=way, peers=peers)
    end = FROZEN + seconds
    knows: dict[str, bool] = {}
    knowing = np.zeros(seconds + 1)
    spent: dict[str, int] = {"seconds": 0, "messages": 0, "bytes": 0}
    loop = asyncio.get_running_loop()

    def on_event(event: Custom) -> None:
        if event.kind == "knows":
            knows[event.source] = event.fields["yes"]
        elif event.kind == "sent":
            for key in spent:
                spent[key] += event.fields[key]

    # The first seconds are without absences: nobody has begun until all have.
    faults = FaultPlan(Churn(OFF, SESSION, after=BEGUN), seed=seed, until=end)
    on = Simulated(count, seed=seed, faults=faults, heartbeat=5.0)
    async with graph.start(
        on, storage=storage, before=lambda system: system.events.subscribe(Custom, on_event)
    ) as live:
        for second in range(seconds + 1):
            await live.until(asyncio.sleep(FROZEN + second - loop.time()))
            knowing[second] = sum(knows.values()) / count
    minutes = max(1, spent["seconds"]) / 60
    return Outcome(knowing, spent["messages"] / minutes, spent["bytes"] / minutes)


def picture(outcomes: Mapping[str, Sequence[Outcome]]) -> Figure:
    """Who knows by time: a thin line for each fleet, a thick one for their mean."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    colours = ("#0072b2", "#009e73", "#d55e00", "#777777")
    for colour, (name, some) in zip(colours, outcomes.items(), strict=True):
        for one in some:
            axes.plot(one.knowing, "-", color=colour, linewidth=0.6, alpha=0.5)
        axes.plot(np.mean([one.knowing for one in some], axis=0), color=colour, label=name)
    axes.axhline(0.5, color="#444", linestyle=":")
    axes.set(xlabel="seconds since a street froze over", ylim=(-0.02, 1.02))
    axes.set(ylabel="share of the fleet that knows")
    axes.grid(alpha=0.3)
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.38))
    return figure


def line(name: str, some: Sequence[Outcome]) -> str:
    """What is printed of a way: means over fleets, of times where all came so far."""
    times = []
    for share in (1e-9, 0.5):
        found = [one.reaches(share) for one in some]
        came = [each for each in found if each is not None]
        times.append(f"{fmean(came):3.0f} s" if len(came) == len(found) else "never")
    return (
        f"{name:<28}first {times[0]}, half {times[1]}, "
        f"at the end {fmean(one.knowing[-1] for one in some):.2f}; "
        f"{fmean(one.messages for one in some):.0f} messages and "
        f"{fmean(one.nbytes for one in some) / 1000:.1f} kB a minute"
    )


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Have the fleets drive, print a line for each way, draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=positive, default=240, help="after it froze; default 240")
    parser.add_argument("--seeds", type=positive, default=3, help="fleets; default 3")
    parser.add_argument(
        "--vehicles", type=positive, default=60, help="of a fleet, 2 to 1024; default 60"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="draw the figure into this folder; without it none"
    )
    given = parser.parse_args(arguments)
    if given.out is not None and not given.out.is_dir():
        parser.error(f"--out {given.out} is no folder; make it first")
    if not 2 <= given.vehicles <= 1024:
        parser.error("--vehicles are 2 to 1024, any of which may meet any other")
    # That computers go off is no failure here, and would be told of some hundred times.
    logging.getLogger("actors.failures").setLevel(logging.ERROR)
    outcomes: dict[str, list[Outcome]] = {}
    for name, way in WAYS.items():
        outcomes[name] = []
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as folder:
                drive = outcome(way, given.vehicles, seed, given.seconds, Path(folder))
                outcomes[name].append(actors.run(drive, on=Simulated(given.vehicles)))
        print(line(name, outcomes[name]), flush=True)
    if given.out is not None:
        with mpl.rc_context({"svg.hashsalt": "actorfl"}):  # the same figure, the same bytes
            picture(outcomes).savefig(given.out / "driving.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
