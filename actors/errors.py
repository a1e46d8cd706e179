"""Everything that can go wrong in the actor runtime; the name says who is at fault.

ActorError
├── UsageError                the caller wrote something that cannot work; nothing was started
│   ├── HandlerError          an actor class whose handlers do not fit its messages
│   ├── GraphError            a graph that cannot be started as declared
│   ├── CodeTravelError       a class or argument that cannot cross to another process
│   ├── CannotEncode          a message that cannot be encoded
│   └── FaultError            a fault, or its moment, that cannot be
├── StashFull                 an actor puts more messages aside than fit
├── SpawnFailed               an actor's constructor or on_start raised
├── AskError                  the ways an ask ends without a reply
│   ├── ActorFailed           the handler raised; carries the remote traceback
│   ├── NotStarted            known: the message was not and will not be handled
│   │   ├── MailboxFull
│   │   ├── Unreachable
│   │   ├── NoSuchActor
│   │   └── WouldDeadlock     the ask leads back into an actor that waits for it
│   └── AskTimeout            the outcome is unknown
│       └── PeerLost          the node died or was cut off after the message had left
├── NodeError                 trouble with the operating-system process that holds a node
│   └── NodeStartFailed
├── ObserveError              nobody shows the live state at an address, or no longer
├── GaveUp                    a supervisor's intensity is exhausted
└── StorageError              the disk refused; the path and its reason are named

HandlerWarning                a method that looks like a handler and is none
"""

from __future__ import annotations


class ActorError(Exception):
    """Root of all errors of the actor runtime."""


class UsageError(ActorError):
    """The caller wrote something that cannot work; nothing was started."""


class HandlerError(UsageError):
    """An actor class whose methods cannot work: handlers that fit no message, hidden names."""


class HandlerWarning(UserWarning):
    """A method of an actor looks like a handler and is none; it may be a helper."""


class GraphError(UsageError):
    """An actor graph that cannot be started as declared."""


class CodeTravelError(UsageError):
    """A class or argument that cannot cross to another process."""


class CannotEncode(UsageError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """A message or argument that cannot be encoded."""


class FaultError(UsageError, ValueError):
    """A fault, or the moment that it begins or ends with, that cannot be; also a ValueError."""


class StashFull(ActorError):  # noqa: N818
    """An actor puts more messages aside than fit."""


class SpawnFailed(ActorError):  # noqa: N818
    """An actor's constructor or ``on_start`` raised.

    Attributes:
        remote_traceback: the traceback as text, from the node where it happened.
    """

    def __init__(self, sentence: str, remote_traceback: str = "") -> None:
        super().__init__(sentence)
        self.remote_traceback = remote_traceback


class AskError(ActorError):
    """An ask ended without a reply."""


class ActorFailed(AskError):  # noqa: N818
    """The handler raised while it worked on this ask.

    Attributes:
        remote_traceback: the traceback as text, from the node where it happened.
    """

    def __init__(self, sentence: str, remote_traceback: str = "") -> None:
        super().__init__(sentence)
        self.remote_traceback = remote_traceback


class NotStarted(AskError):  # noqa: N818
    """Known: the message was not handled and will not be."""


class MailboxFull(NotStarted):
    """The receiver's mailbox is at its bound."""


class Unreachable(NotStarted):
    """The message could not leave this node."""


class NoSuchActor(NotStarted):
    """The receiver does not exist, or no longer."""


class WouldDeadlock(NotStarted):
    """The ask leads back into an actor that waits for its answer."""


class AskTimeout(AskError):  # noqa: N818
    """No reply within the deadline: whether the message was handled is unknown."""


class PeerLost(AskTimeout):
    """The receiver's node died or was cut off after the message had left: outcome unknown."""


class NodeError(ActorError):
    """Trouble with a process that holds a node."""


class NodeStartFailed(NodeError):  # noqa: N818
    """A node's process did not come up; its last lines of output are in the sentence.

    Attributes:
        killed: a signal ended it, so another start may succeed.
    """

    def __init__(self, sentence: str, *, killed: bool = False) -> None:
        super().__init__(sentence)
        self.killed = killed


class ObserveError(ActorError):
    """Nobody shows the live state at an address, or no longer, or not in time.

    Attributes:
        gone: whether it is no use to ask again.
    """

    def __init__(self, sentence: str, *, gone: bool = True) -> None:
        super().__init__(sentence)
        self.gone = gone


class GaveUp(ActorError):  # noqa: N818
    """A supervisor has restarted a child as often as its intensity allows.

    Attributes:
        child: path of the child.
        restarts: how often it was restarted within the period.
        remote_traceback: traceback of the last failure, as text; what the process printed last,
            where that was its end.
    """

    def __init__(
        self, sentence: str, *, child: str, restarts: int, remote_traceback: str = ""
    ) -> None:
        super().__init__(sentence)
        self.child = child
        self.restarts = restarts
        self.remote_traceback = remote_traceback


class StorageError(ActorError):
    """The storage refused; the sentence names the path and the reason."""
