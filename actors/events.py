"""What happens in a system, for whoever wants to know."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from actors.given import check_callable, check_class_of

_log = logging.getLogger("actors.events")

#: Events within events: a subscriber to dead letters that tells a dead actor makes another one.
_MAX_DEPTH = 16


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of all events."""


class DeadLetter(Event, frozen=True, kw_only=True, tag="dead_letter"):
    """A message that no actor handled.

    Attributes:
        to: path or uid of the receiver.
        message: name of the message type where it is known.
        reason: "no such actor", "mailbox full", "unreachable", "stopped", "cannot decode", …
    """

    to: str
    message: str
    reason: str


class Unacknowledged(Event, frozen=True, kw_only=True, tag="unacknowledged"):
    """Messages to another node of which this node cannot know whether they were handled.

    What a lane carries is numbered from 1 for each incarnation of a node: on "control" everything
    small, system signals included (these are sent again while the node lives), on "bulk" the
    messages with arrays. Each message between nodes is handled, becomes a ``DeadLetter``, or lies
    in one of these ranges, which the sender's node publishes.

    Attributes:
        node: that they were sent to.
        incarnation: of that node.
        lane: "control" or "bulk".
        first: number of the first message.
        last: number of the last one.
        count: how many.
        taken: the node had acknowledged them before it died; what of them had not been handled by
            then was lost with the mailboxes. False: they left and were never acknowledged, so they
            may not even have arrived.
        reason: why nothing more will be known.
    """

    node: str
    incarnation: int
    lane: str
    first: int
    last: int
    count: int
    taken: bool
    reason: str


class ActorFailure(Event, frozen=True, kw_only=True, tag="actor_failed"):
    """An actor's constructor, hook or handler raised, or (``outside``) its process ended.

    The traceback is then what the process printed last.
    """

    path: str
    node: str
    error: str
    traceback: str = ""
    outside: bool = False
    #: Classes of the exception, as in ``Failure``.
    kinds: tuple[str, ...] = ()


class ActorRestarted(Event, frozen=True, kw_only=True, tag="actor_restarted"):
    """A supervisor had an actor restarted; ``outside``: since its process had died."""

    path: str
    node: str
    restarts: int
    error: str
    outside: bool = False


class ActorStopped(Event, frozen=True, kw_only=True, tag="actor_stopped"):
    """An actor is gone."""

    path: str
    node: str
    reason: str


class SupervisorGaveUp(Event, frozen=True, kw_only=True, tag="gave_up"):
    """A child failed more often than its supervisor's intensity allows."""

    supervisor: str
    child: str
    restarts: int
    error: str
    #: Classes of the last exception, as in ``Failure``.
    kinds: tuple[str, ...] = ()


class ChildGivenUp(Event, frozen=True, kw_only=True, tag="child_given_up"):
    """A child that failed is stopped for good, and the others go on."""

    supervisor: str
    child: str
    restarts: int
    error: str


class NodeQuarantined(Event, frozen=True, kw_only=True, tag="node_quarantined"):
    """A node that lives was given up: its actors count as dead, and its process is ended."""

    node: str
    incarnation: int
    reason: str


class NodeStarted(Event, frozen=True, kw_only=True, tag="node_started"):
    """A process came up and its node is reachable.

    Attributes:
        starts: processes of that name so far.
        spare: it was one in reserve, loaded before it was needed.
    """

    node: str
    incarnation: int
    pid: int
    starts: int
    spare: bool = False


class SpareReady(Event, frozen=True, kw_only=True, tag="spare_ready"):
    """A process in reserve has loaded everything and may replace one that dies."""

    pid: int


class SpareDied(Event, frozen=True, kw_only=True, tag="spare_died"):
    """A process in reserve ended before it was anybody; it counts against nobody.

    Attributes:
        pid: its process id; None where none could be started.
        reason: how it ended.
        lines: what it printed last.
        given_up: too many died one after the other, so that no other takes its place.
    """

    pid: int | None
    reason: str
    lines: list[str]
    given_up: bool


class NodeDied(Event, frozen=True, kw_only=True, tag="node_died"):
    """A node's process ended."""

    node: str
    incarnation: int
    pid: int
    reason: str
    lines: list[str]


class NodeStuck(Event, frozen=True, kw_only=True, tag="node_stuck"):
    """A node's process lives and has not answered for some time.

    Attributes:
        seconds: that it has been silent.
        phi: how suspicious that is, see ``actors.liveness``.
    """

    node: str
    incarnation: int
    pid: int
    seconds: float
    phi: float


class NodeAnswers(Event, frozen=True, kw_only=True, tag="node_answers"):
    """A node that was stuck answers again."""

    node: str
    incarnation: int
    pid: int


class ThreadAbandoned(Event, frozen=True, kw_only=True, tag="thread_abandoned"):
    """A blocking actor did not come back from a call; its thread goes on, if only for now."""

    path: str
    node: str


class CrashPointMissed(Event, frozen=True, kw_only=True, tag="crash_point_missed"):
    """A crash point of the fault plan never came up, and so proved nothing.

    Its name, its clock, its start or its process may be wrong.

    Attributes:
        point: its name.
        action: what was ordered.
        node: the process it was meant for; None for any.
    """

    point: str
    action: str
    node: str | None


class FaultMissed(Event, frozen=True, kw_only=True, tag="fault_missed"):
    """A fault of the plan had not begun when all ended, and so proved nothing.

    Attributes:
        fault: as it is written in Python.
        reason: why it had not.
    """

    fault: str
    reason: str


class ShutdownTaskFailed(Event, frozen=True, kw_only=True, tag="shutdown_task_failed"):
    """A task of the coordinated shutdown raised, or took longer than its phase may."""

    node: str
    phase: str
    task: str
    error: str
    traceback: str = ""


class Custom(Event, frozen=True, kw_only=True, tag="custom"):
    """An event that an actor published by name."""

    source: str
    kind: str
    fields: dict[str, Any]


class EventStream:
    """Synchronous publish and subscribe within one system."""

    def __init__(self) -> None:
        self._subscribers: dict[int, tuple[type[Event], Callable[[Any], None]]] = {}
        self._next = 0
        self._published = 0
        self._depth = 0

    def subscribe(self, kind: type[Event], callback: Callable[[Any], None]) -> Callable[[], None]:
        """Call back on every event of that class.

        Returns:
            A function that ends the subscription.

        Raises:
            UsageError: no class of events, or nothing to call.
        """
        check_class_of("subscribe", "events", kind, Event)
        check_callable("subscribe", "the callback", callback)
        self._next += 1
        number = self._next
        self._subscribers[number] = (kind, callback)

        def unsubscribe() -> None:
            self._subscribers.pop(number, None)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Hand the event to its subscribers; one that raises is logged, the rest still hear.

        One that unsubscribes hears nothing from then on, and one that subscribes meanwhile hears
        the next event.
        """
        self._published += 1
        if self._depth == _MAX_DEPTH:
            _log.error(
                "%s is dropped: it was published by a subscriber to an event that was published by "
                "a subscriber, %d deep; do not publish what you subscribe to",
                type(event).__name__, _MAX_DEPTH,
            )  # fmt: skip
            return
        self._depth += 1
        try:
            for number, (kind, callback) in tuple(self._subscribers.items()):
                if isinstance(event, kind) and number in self._subscribers:
                    try:
                        callback(event)
                    except Exception:  # noqa: BLE001  (it is user code, and logged)
                        _log.exception("a subscriber to %s raised", type(event).__name__)
        finally:
            self._depth -= 1

    def __repr__(self) -> str:
        return f"<EventStream {len(self._subscribers)} subscribers, {self._published} published>"
