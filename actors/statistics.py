"""Frozen records of what actors, nodes and processes did; tools read only these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from transports.statistics import EndpointStatistics

MOST_CHILDREN: Final = 1000
"""Children that one record names. A supervisor may have any number, a message is bounded."""


class ChildStatistics(msgspec.Struct, frozen=True, array_like=True):
    """What an actor knows of a child.

    Attributes:
        path: of the child.
        node: on which it lives.
        restarts: how often this actor, a supervisor, has had it restarted, whatever it died of.
    """

    path: str
    node: str
    restarts: int


class CellStatistics(msgspec.Struct, frozen=True):
    """What a cell tells about itself.

    Attributes:
        path: of the actor.
        kind: its class.
        state: starting, running, suspended, failed, halting, halted, stopping or stopped.
        mailbox: messages waiting.
        bound: most that may wait.
        handled: messages handled, of all incarnations.
        restarts: within this process.
        failures: times that its code raised.
        children: living children.
        watchers: actors that watch it.
        oldest: seconds for which the oldest waiting message has waited, None where none waits.
            Exact for one that found the mailbox empty, never too small, and too large by at most
            the time in which the actor handled the last 64 to 512 messages, or the time since it
            was last looked at.
        noted: of its children, those on other nodes or restarted by it, at most 1,000.
        stashed: messages in its stash.
    """

    path: str
    kind: str
    state: str
    mailbox: int
    bound: int
    handled: int
    restarts: int
    failures: int
    children: int
    watchers: int
    oldest: float | None = None
    noted: tuple[ChildStatistics, ...] = ()
    stashed: int = 0


class GuestStatistics(msgspec.Struct, frozen=True):
    """What a node knows of those who only look on.

    Attributes:
        address: where they find it.
        guests: how many are there now.
        pictures: how often they were shown the live state.
        refused: what they sent and may not send, or what was not understood, by reason.
    """

    address: str
    guests: int
    pictures: int
    refused: Mapping[str, int]


class SystemStatistics(msgspec.Struct, frozen=True):
    """What a system tells about itself.

    Attributes:
        node: name of the node.
        incarnation: of the node.
        actors: one record per living actor.
        asks: asks that wait for their answer.
        dead_letters: messages that nobody handled.
        endpoint: of the transports: links, lanes, what was refused.
        guests: who looks on; None where nobody can.
        late_replies: answers to asks that had ended by then, by their deadline or cancelled.
        abandoned: threads of blocking actors that did not come back from a call.
    """

    node: str
    incarnation: int
    actors: tuple[CellStatistics, ...]
    asks: int
    dead_letters: int
    endpoint: EndpointStatistics | None = None
    guests: GuestStatistics | None = None
    late_replies: int = 0
    abandoned: int = 0


class ProcessStatistics(msgspec.Struct, frozen=True):
    """What the manager knows of one process.

    Attributes:
        name: of its node.
        pid: of the running process; None while there is none.
        starts: how often it was started.
        state: "down", "starting", "up", or "stuck": it lives and answers nothing.
        incarnation: of its node; None before its first start.
        silent: seconds since it was last heard of, known to about a second; 0 where it is not up.
    """

    name: str
    pid: int | None
    starts: int
    state: str
    incarnation: int | None = None
    silent: float = 0.0
