"""What happens to an entry of a mailbox: read, given to its handler, answered, accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from actors import item as wire
from actors.errors import CannotEncode
from actors.handlers import Handlers
from actors.item import Item, Refusal, tag_of
from actors.message import Lane, Message
from actors.signals import Failure
from actors.timers import Tick
from transports import Link, LinkClosed, LinkFull, MessageTooLarge, Weights

if TYPE_CHECKING:
    from actors.cell import Cell

_log = logging.getLogger("actors.handling")


class Envelope:
    """A message that came with arrays or wants a reply."""

    __slots__ = ("arrays", "cancelled", "expires", "item", "later", "link")

    def __init__(
        self, item: Item, arrays: Sequence[Weights], link: Link[Item] | None, expires: float
    ) -> None:
        self.item = item
        self.arrays = arrays
        self.link = link
        self.expires = expires
        self.cancelled = False
        #: Set by a handler that answers by ``Handling.answer`` when it is done with the message.
        self.later = False


class Handling:
    """Handles one entry at a time for a cell.

    Args:
        cell: whose.
        handlers: of its class.
    """

    __slots__ = ("_by_type", "_cell", "_decode", "_system", "_union", "current", "handles")

    def __init__(self, cell: Cell, handlers: Handlers) -> None:
        self._cell = cell
        self._system = cell.system
        self._by_type = handlers.by_type
        self._union = handlers.union
        decoder = self._system.codec.decoder
        self._decode = _nothing if self._union is None else decoder(self._union).decode
        #: What is being handled, where it came in an envelope.
        self.current: Envelope | None = None
        #: Name of the message type that is waited in; empty where no handler waits.
        self.handles = ""

    def understands(self, kind: type[Message[Any]]) -> bool:
        """Whether there is a handler for that type."""
        return kind in self._by_type

    def handle(self, entry: Any) -> Coroutine[Any, Any, None] | None:
        """Handle an entry of the mailbox; what is left to wait for, if anything.

        No coroutine is made for a handler that has nothing to wait for: it costs as much as all
        the rest together.
        """
        envelope: Envelope | None = None
        message: Any
        if type(entry) is Item:
            try:
                message = self._decode(entry.body)
            except Exception as error:  # noqa: BLE001  (what checks a message is the user's own code)
                self._not_understood(entry, error)
                return None
        elif type(entry) is Envelope:
            envelope = entry
            message = self._opened(envelope)
        elif type(entry) is Tick:
            message = entry.message if self._cell.timers.take(entry) else None
        else:
            message = entry
        if message is None:
            return None
        function = self._by_type.get(type(message))
        if function is None:
            self._system.dead_letter(self._cell.path, entry, "no handler for it")
            return None
        self.current = envelope
        try:
            result = function(self._cell.actor, message)
            if result is not None and isinstance(result, CoroutineType):
                return self._awaited(result, envelope, message)
            if envelope is not None and envelope.item.kind == wire.ASK and not envelope.later:
                rest = self._reply(envelope, result)
                if rest is not None:
                    return self._awaited(rest, envelope, message, replied=True)
            self._cell.handled += 1
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._raised(error, envelope, message)
        self.current = None
        return None

    def _opened(self, envelope: Envelope) -> Any:
        """The message in an envelope; None where it is not to be handled."""
        if envelope.cancelled or (
            envelope.expires and self._system.world.clock.now() > envelope.expires
        ):
            self._system.dead_letter(self._cell.path, envelope, "the asker gave up")
            return None
        try:
            if not envelope.arrays:
                return self._decode(envelope.item.body)
            return self._system.codec.decode(self._union, envelope.item.body, envelope.arrays)
        except Exception as error:  # noqa: BLE001  (what checks a message is the user's own code)
            self._not_understood(envelope, error)
            return None

    def _not_understood(self, entry: Item | Envelope, error: Exception) -> None:
        item = entry.item if isinstance(entry, Envelope) else entry
        handled = sorted(kind.__qualname__ for kind in self._by_type)
        if tag_of(item.body) in handled or not handled or self._union is msgspec.Raw:
            why = f"not understood: {str(error) or type(error).__name__}"
        else:
            why = f"it handles only {', '.join(handled)}"
        self._system.dead_letter(self._cell.path, entry, why)

    async def _awaited(
        self,
        waiting: Coroutine[Any, Any, Any],
        envelope: Envelope | None,
        message: Any,
        *,
        replied: bool = False,
    ) -> None:
        """A handler that waits for something, or (``replied``) an answer that waits for room."""
        self._cell.busy = True
        self.handles = type(message).__name__
        try:
            result = await waiting
            if not replied and envelope is not None and envelope.item.kind == wire.ASK:
                rest = self._reply(envelope, result)
                if rest is not None:
                    await rest
            self._cell.handled += 1
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._raised(error, envelope, message)
        finally:
            self._cell.busy = False
            self.current = None
            self.handles = ""
            if envelope is not None and envelope.cancelled and not self._cell.interrupted:
                # The handler may have ended it by itself: nothing of it is left for the next one.
                while self._cell.task.cancelling():
                    self._cell.task.uncancel()

    def _raised(self, error: BaseException, envelope: Envelope | None, message: Any) -> None:
        """A handler raised, or was cancelled."""
        if envelope is not None and envelope.cancelled and self._cell.uncancelled(error):
            return
        if self._cell.ended_by(error):
            if envelope is not None and envelope.item.kind == wire.ASK:
                name, limit = type(message).__name__, self._cell.stop_timeout
                sentence = f"{self._cell.path} was stopped {limit:g} s into {name}"
                self._system.answer(envelope, wire.FAILED, Refusal("failed", sentence))
            return
        failure = Failure.of(error, "handler", type(message).__name__)
        if envelope is not None and envelope.item.kind == wire.ASK:
            sentence = f"{self._cell.path} failed on {type(message).__name__}: {failure}"
            self._system.answer(
                envelope, wire.FAILED, Refusal("failed", sentence, failure.traceback)
            )
        self._cell.fail(failure)

    def given_up(self, why: str) -> None:
        """What is being handled will not come to its end: an asker learns it now."""
        envelope = self.current
        if envelope is not None and envelope.item.kind == wire.ASK and not envelope.cancelled:
            asked = tag_of(envelope.item.body)
            sentence = f"{self._cell.path} did not finish {asked}: {why}"
            self._system.answer(envelope, wire.FAILED, Refusal("failed", sentence))

    def _reply(self, envelope: Envelope, result: Any) -> Coroutine[Any, Any, None] | None:
        """Answer an ask; what is left to wait for where the link is full."""
        try:
            item, arrays = self._answer_to(envelope, result)
        except CannotEncode as error:
            self._unsendable(envelope, error)
            return None
        link = envelope.link
        assert link is not None
        lane: Lane = "bulk" if arrays else "control"
        if not self._system.router.queues_for(link, lane):
            try:
                self._system.put(link, item, arrays)
            except LinkFull:
                pass
            except LinkClosed:
                return None
            except MessageTooLarge as error:
                self._unsendable(envelope, error)
                return None
            else:
                return None
        return self._reply_when_there_is_room(envelope, item, arrays, lane)

    def _answer_to(self, envelope: Envelope, result: Any) -> tuple[Item, Sequence[Weights]]:
        body, arrays = self._system.codec.encode(result)
        return Item(0, self._cell.uid, wire.REPLY, body, envelope.item.ask), arrays

    def answer(self, envelope: Envelope, result: Any) -> None:
        """Answer an ask whose handler left it for later; a node that is gone gets nothing.

        Raises:
            CannotEncode: the answer holds something that does not travel.
            LinkFull: the asker's node does not read.
        """
        item, arrays = self._answer_to(envelope, result)
        assert envelope.link is not None
        with contextlib.suppress(LinkClosed):
            self._system.put(envelope.link, item, arrays)

    def _unsendable(self, envelope: Envelope, error: Exception) -> None:
        """The actor keeps what it has: whoever asks for much must not be able to end it."""
        asked = tag_of(envelope.item.body)
        sentence = f"the reply of {self._cell.path} to {asked} cannot be sent: {error}"
        _log.warning("%s", sentence)
        self._system.answer(envelope, wire.FAILED, Refusal("failed", sentence))

    async def _reply_when_there_is_room(
        self, envelope: Envelope, item: Item, arrays: Sequence[Weights], lane: Lane
    ) -> None:
        """The actor waits as well, until the asker does no longer: else its answers pile up."""
        link = envelope.link
        assert link is not None
        left = envelope.expires - self._system.world.clock.now()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._system.router.put_when_there_is_room(link, lambda: item, arrays, lane)
        except LinkClosed:
            pass
        except MessageTooLarge as error:
            self._unsendable(envelope, error)
        except TimeoutError:
            self._system.dead_letter(
                self._cell.path, envelope, f"its answer found no room: {link.peer} does not read"
            )


def _nothing(_body: bytes) -> Any:
    """The decoder of an actor without handlers."""
    raise msgspec.DecodeError("it handles no messages")
