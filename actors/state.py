"""The live state of all nodes of a launcher, put together from what each told of itself.

Pure: parts in, one frozen record out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from actors.statistics import (
    CellStatistics,
    ChildStatistics,
    GuestStatistics,
    ProcessStatistics,
    SystemStatistics,
)
from transports.statistics import LinkStatistics

_NUMBER = re.compile(r"([0-9]{1,18})")

UNKNOWN: Final = "unknown"
"""State of an actor that its supervisor tells of, and its node does not."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Some of what is known of one node; a message each.

    Attributes:
        name: of the node.
        process: what its launcher knows of it.
        system: what it tells of itself, without its actors.
        actors: some of its actors.
        more: actors that it left out, being too many.
        wall: seconds since 1970-01-01 UTC, of the launcher's clock; 0 in what others tell.
        now: monotonic seconds of the launcher's clock; 0 in what others tell.
    """

    name: str
    process: ProcessStatistics | None = None
    system: SystemStatistics | None = None
    actors: tuple[CellStatistics, ...] = ()
    more: int = 0
    wall: float = 0.0
    now: float = 0.0


class LiveActor(msgspec.Struct, frozen=True):
    """One actor.

    Attributes:
        path: names from the root down, separated by ``/``.
        kind: its class; "" where unknown.
        node: on which it lives.
        state: starting, running, suspended, failed, halting, halted, stopping, or unknown: its node
            does not tell of it.
        mailbox: messages waiting.
        bound: most that may wait.
        oldest: seconds for which the oldest waiting message has waited, None where none waits; see
            ``CellStatistics`` for how exact it is.
        handled: messages handled in this process.
        restarts: by its supervisor, of its code and of its process together.
        failures: times that its code raised in this process.
        children: living children.
        watchers: actors that watch it.
    """

    path: str
    kind: str
    node: str
    state: str
    mailbox: int
    bound: int
    oldest: float | None
    handled: int
    restarts: int
    failures: int
    children: int
    watchers: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """The path of its parent; "" where that is the node itself."""
        return self.path.rpartition("/")[0]

    @property
    def depth(self) -> int:
        """Actors above it."""
        return self.path.count("/") - 1


class LiveNode(msgspec.Struct, frozen=True):
    """One node.

    Attributes:
        name: of the node.
        incarnation: of the node; None before its first start.
        pid: of its process; None while there is none.
        state: up, starting, down, or stuck: it lives and did not answer in time.
        starts: how often its process was started.
        silent: seconds since its launcher last heard of it; 0 where it is not up.
        actors: how many it told of.
        more: how many it left out, being too many.
        dead_letters: messages that nobody handled; None where it did not tell, as all below.
        asks: asks that wait for their answer.
        links: to other nodes, each with its two lanes.
        local: the link to itself, over which local messages go.
        guests: who looks on; None also where nobody can.
    """

    name: str
    incarnation: int | None
    pid: int | None
    state: str
    starts: int
    silent: float
    actors: int = 0
    more: int = 0
    dead_letters: int | None = None
    asks: int | None = None
    links: tuple[LinkStatistics, ...] = ()
    local: LinkStatistics | None = None
    guests: GuestStatistics | None = None


class LiveState(msgspec.Struct, frozen=True):
    """What all nodes of a launcher told of themselves, more or less at one time.

    Attributes:
        wall: when, seconds since 1970-01-01 UTC.
        now: when, monotonic seconds of the launcher's clock; differences are true intervals.
        nodes: the node that was asked, then those that it launched.
        actors: the tree of actors over all nodes: each behind its parent, siblings by name.
    """

    wall: float
    now: float
    nodes: tuple[LiveNode, ...]
    actors: tuple[LiveActor, ...]

    @property
    def more(self) -> int:
        """Actors that were left out, being too many."""
        return sum(node.more for node in self.nodes)

    def actor(self, name: str) -> LiveActor:
        """The actor of this path or, where there is but one, of this name.

        Raises:
            KeyError: there is none, or there are several.
        """
        found = [a for a in self.actors if name in (a.path, a.name)]
        if len(found) != 1:
            raise KeyError(f"{len(found)} actors are called {name!r}")
        return found[0]

    def node(self, name: str) -> LiveNode:
        """The node of this name.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"there is no node {name!r}, only {[node.name for node in self.nodes]}")


@dataclass
class _Node:
    process: ProcessStatistics | None = None
    system: SystemStatistics | None = None
    actors: list[CellStatistics] = field(default_factory=list)
    more: int = 0


def assemble(parts: Iterable[Part]) -> LiveState:
    """Put together what was told.

    Args:
        parts: of all nodes; those of the launcher come first.
    """
    nodes: dict[str, _Node] = {}
    wall = now = 0.0
    for part in parts:
        node = nodes.setdefault(part.name, _Node())
        node.process = part.process or node.process
        node.system = part.system or node.system
        node.actors.extend(part.actors)
        node.more += part.more
        wall, now = max(wall, part.wall), max(now, part.now)
    noted = {
        child.path: child for node in nodes.values() for cell in node.actors for child in cell.noted
    }
    known = {
        (cell.path, name): _actor(cell, name, noted.get(cell.path))
        for name, node in nodes.items()
        for cell in node.actors
    }
    for child in noted.values():
        if (child.path, child.node) not in known:
            known[child.path, child.node] = _unknown(child)
    return LiveState(
        wall, now, tuple(map(_node, nodes, nodes.values())), _as_tree(list(known.values()))
    )


def _actor(cell: CellStatistics, node: str, noted: ChildStatistics | None) -> LiveActor:
    restarts = cell.restarts if noted is None else max(cell.restarts, noted.restarts)
    return LiveActor(
        path=cell.path, kind=cell.kind, node=node, state=cell.state, mailbox=cell.mailbox,
        bound=cell.bound, oldest=cell.oldest, handled=cell.handled, restarts=restarts,
        failures=cell.failures, children=cell.children, watchers=cell.watchers,
    )  # fmt: skip


def _unknown(child: ChildStatistics) -> LiveActor:
    return LiveActor(
        path=child.path, kind="", node=child.node, state=UNKNOWN, mailbox=0, bound=0, oldest=None,
        handled=0, restarts=child.restarts, failures=0, children=0, watchers=0,
    )  # fmt: skip


def _node(name: str, node: _Node) -> LiveNode:
    process, system = node.process or ProcessStatistics(name, None, 0, "up"), node.system
    if system is None or system.endpoint is None:
        return LiveNode(
            name, process.incarnation, process.pid, process.state, process.starts, process.silent
        )
    return LiveNode(
        name, system.incarnation, process.pid, process.state, process.starts, process.silent,
        actors=len(node.actors), more=node.more, dead_letters=system.dead_letters,
        asks=system.asks, links=system.endpoint.links, local=system.endpoint.local,
        guests=system.guests,
    )  # fmt: skip


def _by_name(actor: LiveActor) -> tuple[tuple[str, int], ...]:
    """As people sort: w2 before w10. Each part is text and a number, -1 where it has none."""
    words = _NUMBER.split(actor.name)
    numbers = [int(number) for number in words[1::2]]
    return tuple(zip(words[::2], [*numbers, -1], strict=True))


def _as_tree(actors: Sequence[LiveActor]) -> tuple[LiveActor, ...]:
    """Each behind its parent, siblings by name; who has no known parent stands at the top.

    By name, as the order in which nodes tell of their actors differs from look to look.
    """
    paths = {actor.path for actor in actors}
    below: dict[str, list[LiveActor]] = {}
    for actor in sorted(actors, key=_by_name):
        below.setdefault(actor.parent if actor.parent in paths else "", []).append(actor)
    ordered: list[LiveActor] = []
    waiting = below.pop("", [])[::-1]
    while waiting:
        actor = waiting.pop()
        ordered.append(actor)
        # Of two nodes' actors with one path the first gets the children.
        waiting.extend(reversed(below.pop(actor.path, [])))
    return tuple(ordered)
