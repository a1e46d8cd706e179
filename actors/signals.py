"""System signals: what nodes, supervisors and watchers tell each other, ahead of all messages."""

from __future__ import annotations

import traceback
from typing import Any, Literal

import msgspec

from actors.faults.moment import Moment
from actors.message import Message, home_of

RefParts = tuple[str, str, int]

#: uid of the node itself, and of the guardian that is parent of all top-level actors.
NODE_UID = 0
GUARDIAN_UID = 1

Overflow = Literal["reject", "drop_oldest", "drop_new"]
"""What a full mailbox does with one more message: refuse it, and its asker learns so; drop the one
that has waited longest for it; or drop it as ``reject`` does. What is dropped is a dead letter."""

Cause = Literal[
    "stopped",
    "failed",
    "killed",
    "out_of_memory",
    "exited",
    "unreachable",
    "quarantined",
    "not_found",
]
"""Why an actor is gone: it was stopped; it failed and was not restarted; a signal ended its
process, or the kernel for lack of memory, or its own code did (exit code); there was no connection
to its node for too long; its node was given up; or there never was one, as far as is known."""

#: A remote traceback is cut to this many characters: a recursion error's can be megabytes.
MAX_TRACEBACK = 16_000
#: Classes of an exception that are named; deeper trees are nobody's to decide by.
MAX_KINDS = 32


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """Why an actor failed.

    Attributes:
        kind: the exception's class name, or "NodeDied" where its process ended.
        message: the exception's text.
        traceback: as text, from where it happened; of a process that ended, what it printed last.
        during: "make" (there is no actor yet), "start", "handler", "stop" or "process".
        handling: name of the message type that was being handled, if any.
        outside: the death came from outside (process killed, node cut off), not from the code.
        kinds: the exception's class and those it derives from, as ``module:Class``; of a
            script, as ``file.py:Class``.
        child: path of the actor that could not be helped, where a supervisor gave up.
        restarts: how often that one was restarted within the period.
    """

    kind: str
    message: str
    traceback: str = ""
    during: str = "handler"
    handling: str = ""
    outside: bool = False
    kinds: tuple[str, ...] = ()
    child: str = ""
    restarts: int = 0

    @classmethod
    def of(cls, error: BaseException, during: str, handling: str = "") -> Failure:
        """The failure that this exception is."""
        text = "".join(traceback.format_exception(error))
        if len(text) > MAX_TRACEBACK:
            text = text[: MAX_TRACEBACK // 2] + "\n...\n" + text[-MAX_TRACEBACK // 2 :]
        return cls(
            type(error).__name__, plain(_said(error)[:2000]), plain(text), during, handling,
            kinds=kinds_of(type(error)),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


def kinds_of(cls: type[BaseException]) -> tuple[str, ...]:
    """The names of an exception class and of those it derives from, nearest first.

    Every process gives the same: a script's module has another name in each, and its classes go by
    its file, as its messages do.
    """
    return tuple(f"{home_of(str(c.__module__))}:{c.__qualname__}" for c in cls.__mro__[:MAX_KINDS])


def plain(text: str) -> str:
    """The text as it can travel: what is no character (a surrogate of a file's name) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (it is user code, too)
        return "<its str() raised>"


class ActorSpec(msgspec.Struct, frozen=True, array_like=True):
    """How to make an actor on any node.

    Attributes:
        name: last part of its path.
        code: import path, ``module:Class`` or ``/absolute/file.py:Class``.
        sha256: of the source file, where the code is a file.
        args: encoded constructor arguments by name.
        mailbox: bound of the mailbox, messages.
        overflow: what a full mailbox does: "reject", "drop_oldest", "drop_new".
        stop_timeout: seconds that a running handler is given at stop.
    """

    name: str
    code: str
    sha256: str | None
    args: dict[str, bytes]
    mailbox: int = 10_000
    overflow: Overflow = "reject"
    stop_timeout: float = 5.0


class ActorState(msgspec.Struct, frozen=True, array_like=True):
    """What an actor is made of at a moment, for people who look for a fault.

    Attributes:
        path: of the actor.
        kind: its class.
        state: starting, running, suspended, failed, halting, halted, stopping or stopped.
        handling: name of the message type that it is at, or empty.
        mailbox: names of the types of the messages that wait, the next first; at most 100.
        attributes: its private state, each value's ``repr``, cut.
    """

    path: str
    kind: str
    state: str
    handling: str
    mailbox: tuple[str, ...]
    attributes: dict[str, str]


class Signal(msgspec.Struct, frozen=True, array_like=True, tag_field="signal"):
    """Base of the system signals."""


class Spawn(Signal, frozen=True, tag="spawn"):
    """Parent to node: make this actor."""

    uid: int
    path: str
    spec: ActorSpec
    parent: RefParts


class Started(Signal, frozen=True, tag="started"):
    """Child to parent: the constructor and ``on_start`` went through."""

    child: RefParts


class Failed(Signal, frozen=True, tag="failed"):
    """Child to parent: suspended until the verdict comes."""

    child: RefParts
    failure: Failure


class Halt(Signal, frozen=True, tag="halt"):
    """Parent to child: finish the current message, end the instance, keep address and mailbox."""


class Halted(Signal, frozen=True, tag="halted"):
    """Child to parent: there is no instance; ``Restart`` makes one."""

    child: RefParts


class Restart(Signal, frozen=True, tag="restart"):
    """Parent to child, which is halted: take a fresh instance."""


class Stop(Signal, frozen=True, tag="stop"):
    """Parent, owner or the actor itself: finish the current message and stop."""


class Stopped(Signal, frozen=True, tag="stopped"):
    """Child to parent and to watchers: the actor is gone."""

    actor: RefParts
    reason: str
    cause: Cause = "stopped"


class Watch(Signal, frozen=True, tag="watch"):
    """Watcher to watched."""

    watcher: RefParts


class Unwatch(Signal, frozen=True, tag="unwatch"):
    """Watcher to watched."""

    watcher: RefParts


class NodeUp(Signal, frozen=True, tag="node_up"):
    """Launcher to nodes: where a node is."""

    name: str
    incarnation: int
    address: str


class NodeDown(Signal, frozen=True, tag="node_down"):
    """Launcher to nodes: that incarnation is dead."""

    name: str
    incarnation: int
    reason: str
    cause: Cause = "killed"


class Suspend(Signal, frozen=True, tag="suspend"):
    """Whoever debugs to an actor: handle no message until ``Resume``."""


class Resume(Signal, frozen=True, tag="resume"):
    """Whoever debugs to an actor: go on."""


class Inspect(Signal, frozen=True, tag="inspect"):
    """Whoever debugs to an actor: what is your state? Answered to the node that asks."""

    number: int
    asker: str


class Inspected(Signal, frozen=True, tag="inspected"):
    """Node to node: the answer to ``Inspect``; None where there is no such actor."""

    number: int
    state: ActorState | None


class Quarantine(Signal, frozen=True, tag="quarantine"):
    """Node to launcher: that incarnation lives but does not read; it has to be ended."""

    name: str
    incarnation: int
    reason: str


class Dial(Signal, frozen=True, tag="dial"):
    """Node to launcher to node: `wants` waits for `who` to connect to it."""

    who: str
    wants: str


class NodeReady(Signal, frozen=True, tag="node_ready"):
    """Node to launcher: the runtime is up and listens here."""

    address: str


class MomentCame(Signal, frozen=True, tag="moment_came"):
    """Node to launcher to all nodes: a moment of the fault plan, and when it came."""

    moment: Moment
    seconds: float


class Reported(Signal, frozen=True, tag="reported"):
    """Node to launcher: an event for the launcher's event stream."""

    kind: str
    fields: dict[str, Any]


class Register(Signal, frozen=True, tag="register"):
    """Node to launcher: that actor is to be found under that name; `number` is the node's own."""

    name: str
    actor: RefParts
    node: str
    number: int


class Registered(Signal, frozen=True, tag="registered"):
    """Launcher to node: it is registered, or why it is not."""

    number: int
    refused: str


class Deregister(Signal, frozen=True, tag="deregister"):
    """Node to launcher: that actor is not to be found under that name any more."""

    name: str
    actor: RefParts


class FollowService(Signal, frozen=True, tag="follow_service"):
    """Node to launcher: tell me now who is registered under that name, and after each change."""

    name: str
    node: str


class UnfollowService(Signal, frozen=True, tag="unfollow_service"):
    """Node to launcher: tell me no more who is registered under that name."""

    name: str
    node: str


class ServiceListing(Signal, frozen=True, tag="service_listing"):
    """Launcher to node: who is registered under that name."""

    name: str
    actors: list[RefParts]


AnySignal = (
    Spawn
    | Started
    | Failed
    | Halt
    | Halted
    | Restart
    | Suspend
    | Resume
    | Inspect
    | Inspected
    | Stop
    | Stopped
    | Watch
    | Unwatch
    | NodeUp
    | NodeDown
    | Quarantine
    | Dial
    | NodeReady
    | MomentCame
    | Reported
    | Register
    | Registered
    | Deregister
    | FollowService
    | UnfollowService
    | ServiceListing
)


class Terminated(Message[None]):
    """Delivered once to a watcher when the watched actor is gone.

    Attributes:
        path: of the actor that is gone.
        uid: of the actor that is gone.
        reason: in words: "stopped", "failed: …", "killed by signal 9 (SIGKILL)", …
        cause: the same as one of a few words, see ``Cause``.
    """

    path: str
    uid: int
    reason: str
    cause: Cause = "stopped"
