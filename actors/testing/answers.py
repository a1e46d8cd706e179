"""What a probe answers to asks: one that it got, or each of a type that will come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from actors.errors import UsageError
from actors.given import check_callable, check_kind
from actors.item import FAILED, Refusal
from actors.message import Message, reply_type
from actors.signals import Failure

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.handling import Envelope
    from actors.testing.received import Received

R = TypeVar("R")


class Asked(Generic[R]):
    """An ask that a probe has not answered; made by ``TestProbe.asked``."""

    def __init__(self, cell: Cell, received: Received, forget: Callable[[Received], None]) -> None:
        self._cell = cell
        self._received = received
        self._forget = forget

    def reply(self, answer: R) -> None:
        """Answer it; an asker that has given up hears nothing.

        Raises:
            UsageError: the answer is not what the message names as reply.
            CannotEncode: the answer holds something that does not travel.
            transports.LinkFull: the asker's node does not read.
        """
        envelope, message = self._received.envelope, self._received.message
        assert envelope is not None
        assert message is not None
        check(self._cell, type(message), answer)
        self._cell.answer(envelope, answer)
        self._forget(self._received)

    def fail(self, error: BaseException) -> None:
        """Have the ask end as if a handler had raised this: the asker gets ``ActorFailed``.

        Raises:
            UsageError: it is no exception.
        """
        check_kind("fail", "an exception", error, BaseException)
        envelope = self._received.envelope
        assert envelope is not None
        refuse(self._cell, envelope, type(self._received.message).__name__, error)
        self._forget(self._received)

    def __repr__(self) -> str:
        return f"<Asked {self._received!r}>"


class When(Generic[R]):
    """What a probe does with each message of a type; made by ``TestProbe.when``."""

    def __init__(
        self,
        cell: Cell,
        kind: type[Message[R]],
        answers: dict[type[Message[Any]], Callable[[Any], Any]],
    ) -> None:
        self._cell = cell
        self._kind = kind
        self._answers = answers

    def reply(self, answer: R) -> None:
        """Answer each ask at once, and with this.

        Raises:
            UsageError: the answer is not what the message names as reply.
            CannotEncode: the answer holds something that does not travel.
        """
        check(self._cell, self._kind, answer)
        self._answers[self._kind] = lambda _: answer

    def reply_with(self, make: Callable[[Any], R]) -> None:
        """Answer each ask at once, with what this function of the message returns.

        What it raises is the asker's ``ActorFailed``; the probe goes on.

        Raises:
            UsageError: it cannot be called.
        """
        check_callable("reply_with", "what makes the answer", make)

        def made(message: Message[Any]) -> R:
            answer = make(message)
            check(self._cell, type(message), answer)
            return answer

        self._answers[self._kind] = made

    def fail(self, error: Exception) -> None:
        """Have each ask end as if a handler had raised this.

        Raises:
            UsageError: it is no exception.
        """
        check_kind("fail", "an exception", error, Exception)

        def failed(_: Message[Any]) -> Any:
            raise error

        self._answers[self._kind] = failed

    def wait(self) -> None:
        """No longer answer by itself: an ask waits for ``TestProbe.asked``."""
        self._answers.pop(self._kind, None)

    def __repr__(self) -> str:
        return f"<When {self._kind.__qualname__} comes to {self._cell.path}>"


def check(cell: Cell, kind: type[Message[Any]], answer: Any) -> None:
    """Refuse an answer that the asker could not read.

    Raises:
        UsageError: the answer is not what the message names as reply.
        CannotEncode: the answer holds something that does not travel.
    """
    body, arrays = cell.system.codec.encode(answer)
    expected = reply_type(kind)
    try:
        cell.system.codec.decode(expected, body, arrays)
    except msgspec.MsgspecError as error:
        text = "None" if expected is type(None) else getattr(expected, "__name__", str(expected))
        msg = (
            f"{cell.path} cannot answer {kind.__qualname__}, a Message[{text}], by {answer!r}: "
            f"{error}"
        )
        raise UsageError(msg) from None


def refuse(cell: Cell, envelope: Envelope, name: str, error: BaseException) -> None:
    """Tell an asker that its message failed; the probe itself does not."""
    failure = Failure.of(error, "handler", name)
    sentence = f"{cell.path} failed on {name}: {failure}"
    cell.system.answer(envelope, FAILED, Refusal("failed", sentence, failure.traceback))
