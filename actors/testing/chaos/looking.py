"""Looks on while something is played, and changes nothing: calls go through it to themselves."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.asks import Asks
from actors.cell import Cell
from actors.events import Custom, Event, EventStream
from actors.faults.kinds import Reorder
from actors.faults.links import FaultyLinks
from actors.faults.noise import Corruption
from actors.router import Router
from actors.sim import Simulation
from actors.system import ActorSystem
from actors.testing.chaos.scenario import encodable
from actors.testing.chaos.transfers import Transfers
from transports import Link, NodeId, Weights
from transports.bulk import Bulk
from transports.handover import PROCESS
from transports.sim import Event as Arrival
from transports.sim import SimNetwork

TOLD: Final = 100
"""Events of actors and faults in a story: more than this nobody reads."""

_NETWORK: Final = 40
"""And of the network: they say less."""

_LOSE: Final = frozenset({"drop", "cut", "partition"})
_LATE: Final = frozenset({"delay", "jitter", "throttle"})
_SHOWN: Final = _LOSE | {"duplicate"}

_EQUAL: Final = 1e-6
"""Seconds by which virtual times that are equal may differ: a deadline is a sum of floats."""

_COUNTED: Final = frozenset({ActorSystem, Cell, Simulation, Link, Weights, asyncio.Task})

_DESCRIPTORS: Final = Path("/proc/self/fd")

_LONGEST: Final = 300
"""Characters of one line of a story."""


@dataclass
class _Asked:
    node: str
    number: int
    message: str
    deadline: float
    ended: float | None = None


@dataclass
class _Frozen:
    since: float
    until: float | None = None


@dataclass
class _Counts:
    """What became of the messages that arrived at one node from others."""

    arrived: int = 0
    due: int = 0
    taken: int = 0
    held: int = 0


@dataclass
class Looking:
    """What is seen of one play."""

    simulations: list[Simulation] = field(default_factory=list)
    systems: list[ActorSystem] = field(default_factory=list)
    links: list[tuple[NodeId, Link[Any]]] = field(default_factory=list)
    _asked: dict[tuple[int, int], _Asked] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _crashed: dict[str, list[float]] = field(default_factory=dict)
    _gone: set[NodeId] = field(default_factory=set)
    _frozen: dict[str, list[_Frozen]] = field(default_factory=dict)
    _counts: _Counts = field(default_factory=_Counts)
    _transfers: Transfers = field(default_factory=Transfers)
    _nodes: dict[int, NodeId] = field(default_factory=dict)
    _events: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=TOLD))

    # -- what is seen -----------------------------------------------------------------------------

    @contextmanager
    def on(self) -> Iterator[Looking]:
        """See what happens within the block."""
        with ExitStack() as stack:
            for cls, name, around in (
                (Simulation, "__init__", self._simulation),
                (ActorSystem, "__init__", self._system),
                (Link, "__init__", self._link),
                (Asks, "open", self._opened),
                (Asks, "_take", self._ended),
                (Asks, "replied", self._ended),
                (Asks, "close", self._ended),
                (SimNetwork, "crash", self._crash),
                (SimNetwork, "freeze", self._freeze),
                (SimNetwork, "thaw", self._thaw),
                (FaultyLinks, "deliver", self._delivered),
                (Corruption, "strike", self._struck),
                (EventStream, "publish", self._published),
                (Link, "transfer", self._transfers.sent),
                (Bulk, "_pass_on", self._passed_on),
                (Router, "_never_left", self._transfers.never_left),
                (ActorSystem, "dead_letter", self._transfers.dead_letter),
            ):
                stack.enter_context(_around(cls, name, around))
            yield self

    def _simulation(
        self, call: Callable[..., None], simulation: Simulation, *a: Any, **k: Any
    ) -> None:
        call(simulation, *a, **k)
        self.simulations.append(simulation)

    def _system(self, call: Callable[..., None], system: ActorSystem, *a: Any, **k: Any) -> None:
        call(system, *a, **k)
        self.systems.append(system)
        self._names[id(system.events)] = system.name
        self._nodes[id(system.events)] = system.node

    def _link(
        self, call: Callable[..., None], link: Link[Any], node: NodeId, *a: Any, **k: Any
    ) -> None:
        call(link, node, *a, **k)
        if not link.local:
            self.links.append((node, link))

    def _opened(self, call: Callable[..., Any], asks: Asks, *args: Any, **named: Any) -> Any:
        number, _ref, message, timeout, *_ = args
        self._asked[id(asks), number] = _Asked(
            self._name_of(asks), number, message.__name__, _now() + timeout
        )
        return call(asks, *args, **named)

    def _ended(self, call: Callable[..., Any], asks: Asks, number: int, *args: Any) -> Any:
        asked = self._asked.get((id(asks), number))
        if asked is not None and asked.ended is None:
            asked.ended = _now()
        return call(asks, number, *args)

    def _name_of(self, asks: Asks) -> str:
        return next((s.name for s in reversed(self.systems) if s.asks is asks), "?")

    def _crash(self, call: Callable[..., None], network: SimNetwork, name: str) -> None:
        self._crashed.setdefault(name, []).append(_now())
        self._gone.update(s.node for s in self.systems if s.name == name)
        self._say(f"{name} crashes")
        call(network, name)

    def _freeze(self, call: Callable[..., None], network: SimNetwork, name: str) -> None:
        self._frozen.setdefault(name, []).append(_Frozen(_now()))
        self._say(f"{name} is frozen")
        call(network, name)

    def _thaw(self, call: Callable[..., None], network: SimNetwork, name: str) -> None:
        for each in self._frozen.get(name, ()):
            each.until = each.until or _now()
        self._say(f"{name} goes on")
        call(network, name)

    def _delivered(self, call: Callable[..., None], links: FaultyLinks, source: str, parcel: Any,
                   deliver: Callable[..., None], *args: Any) -> None:  # fmt: skip
        counts = self._counts
        counts.arrived += 1
        passed = 0

        def taken(*inner: Any) -> None:
            nonlocal passed
            passed += 1
            counts.taken += 1
            deliver(*inner)

        before = links.counts.copy()
        call(links, source, parcel, taken, *args)
        effects = links.counts - before
        # One that is doubled and then lost is lost; one that two faults double comes twice.
        due = 0 if effects.keys() & _LOSE else 1 + ("duplicate" in effects)
        counts.due += due
        if effects.keys() & _LATE or any(isinstance(f, Reorder) for f in links._faults):  # noqa: SLF001
            counts.held += due - passed
        what = f"{_described(parcel)} from {source}"
        node = links._node  # noqa: SLF001
        if due > passed:
            self._say(f"{node}: {what} is held back")
        for kind in sorted(effects.keys() & _SHOWN):
            self._say(f"{node}: {kind} of {what}")

    def _struck(
        self, call: Callable[..., Any], noise: Corruption, source: str, lane: str, nbytes: int,
        *items: Any,
    ) -> Any:  # fmt: skip
        struck = call(noise, source, lane, nbytes, *items)
        if struck is not None:
            self._say(f"{noise.node}: corrupt of {nbytes} B from {source}, on the {lane} lane")
        return struck

    def _passed_on(self, call: Callable[..., None], bulk: Bulk[Any], number: int, *a: Any) -> None:
        # Not what a node sends itself.
        if bulk._peer != bulk._node:  # noqa: SLF001
            self._transfers.arrived(bulk._node, bulk._peer, number)  # noqa: SLF001
        call(bulk, number, *a)

    def _published(self, call: Callable[..., None], events: EventStream, event: Event) -> None:
        # What another node reported was told there.
        if not (isinstance(event, Custom) and "source" in event.fields):
            self._say(f"{self._names.get(id(events), '?')}: {_told(event)}")
        node = self._nodes.get(id(events))
        if node is not None:
            self._transfers.published(node, event)
        call(events, event)

    def _say(self, sentence: str) -> None:
        self._events.append((_now(), encodable(sentence[:_LONGEST])))

    # -- what follows from it ----------------------------------------------------------------------

    def asks(self) -> tuple[str, ...]:
        """Asks that did not end by their deadline, and whose node could have ended them."""
        found = []
        for asked in self._asked.values():
            limit = asked.deadline
            for frozen in self._frozen.get(asked.node, ()):
                if frozen.since <= limit:
                    limit = max(limit, frozen.until if frozen.until is not None else limit)
            if asked.ended is not None and asked.ended <= limit + _EQUAL:
                continue
            # Its own node went down with it.
            if any(at <= limit for at in self._crashed.get(asked.node, ())):
                continue
            when = "never ended" if asked.ended is None else f"ended at {asked.ended:.3f} s"
            found.append(
                f"ask {asked.number} of {asked.node} for {asked.message} was to end by "
                f"{limit:.3f} s and {when}"
            )
        return tuple(found)

    def messages(self) -> tuple[str, ...]:
        """Messages that are not accounted for.

        Of each two nodes, on the control lane: what left and did not arrive was given up by the
        sender, which says so, unless the sender itself crashed; nothing arrived that was not sent.
        Of all that arrived at nodes whose plan disturbs messages, every one was passed on as often
        as the plan has it: at once, or later where it held it back and its node lived on.

        Of each transfer on the bulk lane: it was passed on once and its sender knows so; or it is a
        dead letter there; or it lies in a range of what is not acknowledged.
        """
        found = self._transfers.unaccounted(self._gone)
        arrived: Counter[tuple[NodeId, NodeId]] = Counter()
        for node, link in self.links:
            receiving = link.channel("control").receiving
            arrived[link.peer, node] += receiving.last - receiving.missed
        # A pair may have had several links: an incarnation that is dialled before it was expected.
        sent: Counter[tuple[NodeId, NodeId]] = Counter()
        given_up: Counter[tuple[NodeId, NodeId]] = Counter()
        for node, link in self.links:
            sending = link.channel("control").sending
            sent[node, link.peer] += sending.last
            given_up[node, link.peer] += sending.lost
        for (node, peer), left in sent.items():
            came = arrived[node, peer]
            if came > left:
                found.append(f"{peer} had {came} messages of {node}, which sent {left}")
            if node not in self._gone and left - came > given_up[node, peer]:
                found.append(
                    f"of {left} messages of {node} to {peer} {came} arrived and only "
                    f"{given_up[node, peer]} are told as lost"
                )
        counts = self._counts
        if not 0 <= counts.due - counts.taken <= counts.held:
            found.append(
                f"of {counts.arrived} messages that arrived {counts.due} were to be passed on, as "
                f"the plan has it, {counts.held} of them later; {counts.taken} were"
            )
        return tuple(found)

    def story(self) -> tuple[str, ...]:
        """The last of what happened, oldest first."""
        began = self.simulations[0].began if self.simulations else 0.0
        lines = [(at, f"{at - began:9.3f} s  {sentence}") for at, sentence in self._events]
        for simulation in self.simulations:
            for event in simulation.trace.events[-_NETWORK:]:
                at = event.ns / 1e9
                lines.append((
                    at,
                    f"{at - began:9.3f} s  {event.source} -> {event.target}: {_arrived(event)}",
                ))  # fmt: skip
        lines.sort(key=lambda each: each[0])
        return tuple(line for _, line in lines)


@contextmanager
def settled() -> Iterator[None]:
    """What is there now stays to the end of the block, and need not be looked through meanwhile."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def living() -> Counter[str]:
    """How many of the runtime's objects are alive, by kind, and what it counts itself."""
    gc.collect()
    counts: Counter[str] = Counter()
    for each in gc.get_objects():
        # Not isinstance: it asks an object for its class, which some have code for.
        if type(each) in _COUNTED:
            counts[type(each).__name__] += 1
    counts["thread"] = threading.active_count()
    counts["hand-over"] = len(PROCESS)
    if _DESCRIPTORS.is_dir():  # not on macOS
        counts["descriptor"] = sum(1 for _ in _DESCRIPTORS.iterdir())
    return counts


@contextmanager
def _around(cls: type[Any], name: str, around: Callable[..., Any]) -> Iterator[None]:
    original = getattr(cls, name)

    def through(self: Any, *args: Any, **named: Any) -> Any:
        return around(original, self, *args, **named)

    setattr(cls, name, through)
    try:
        yield
    finally:
        setattr(cls, name, original)


def _arrived(event: Arrival) -> str:
    return f"{event.label} {event.number}, {event.size} B"


def _told(event: Event) -> str:
    fields = msgspec.to_builtins(event)
    name = fields.pop("event", type(event).__name__)
    fields.pop("traceback", None)
    told = " ".join(
        f"{key}={value!r}" for key, value in fields.items() if value not in ("", (), [])
    )
    return f"{name} {' '.join(told.split())}"


def _described(parcel: Any) -> str:
    if not parcel.ordinary:
        return "a signal or reply"
    return f"{parcel.message} to {parcel.actor}" if parcel.actor else str(parcel.message)


def _now() -> float:
    return asyncio.get_running_loop().time()
