"""What happens to an entry of a mailbox: read, given to its handler, answered, accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors import crashpoints
from actors import item as wire
from actors.crashpoints import HANDLED, TAKEN, clock_of
from actors.handlers import Handlers
from actors.item import ASK, OVERHEAD, REPLY, Item, Refusal, tag_of
from actors.message import Lane, kinds_below
from actors.runs import messages_of
from actors.signals import Failure, Terminated
from actors.suggest import shown
from actors.timers import SPENT, Tick
from transports import Link, LinkClosed, LinkFull, MessageTooLarge, Weights

if TYPE_CHECKING:
    from actors.cell import Cell

_log = logging.getLogger("actors.handling")


class Envelope(msgspec.Struct, eq=False):  # made by C, in a third of the time of __init__
    """A message that came with arrays or wants a reply."""

    item: Item
    arrays: Sequence[Weights]
    link: Link[Item] | None
    expires: float
    cancelled: bool = False
    #: Set by a handler that answers by ``Handling.answer`` when it is done with the message.
    later: bool = False
    #: What it holds, once it has been opened.
    message: Any = None
    #: Whether it is in its actor's stash, and so not to be answered.
    stashed: bool = False

    def given_up(self, now: float) -> bool:
        """Whether its asker no longer waits."""
        return self.cancelled or (self.expires > 0.0 and now > self.expires)


class Handling:
    """Handles one entry after the other for a cell.

    Args:
        cell: whose.
        handlers: of its class.
    """

    __slots__ = (
        "_by_type", "_cell", "_decode", "_decode_all", "_system", "_union", "_waiting", "current",
        "handles", "taken",
    )  # fmt: skip

    def __init__(self, cell: Cell, handlers: Handlers) -> None:
        self._cell = cell
        self._system = cell.system
        self._by_type = handlers.by_type
        self._union = handlers.union
        decoder = self._system.codec.decoder
        self._decode = _nothing if self._union is None else decoder(self._union).decode
        self._decode_all: Callable[[bytes], list[Any]] | None = None
        #: What is being handled, where it came in an envelope.
        self.current: Envelope | None = None
        #: Name of the message type that is waited in; empty where no handler waits.
        self.handles = ""
        #: What a handler has left to wait for.
        self._waiting: Coroutine[Any, Any, Any] | None = None
        #: Entries that the last call took.
        self.taken = 0

    def read(self, run: Item) -> list[Any] | None:
        """The messages of a run; None where they are to be read one by one."""
        decode = self._decode_all
        if decode is None:
            if self._union is None or self._union is msgspec.Raw:
                return None
            union: Any = self._union
            decode = self._decode_all = self._system.codec.decoder(list[union]).decode
        try:
            return messages_of(run, decode)
        except Exception:  # noqa: BLE001  (what checks a message is the user's own code)
            return None

    def handle(self, mailbox: deque[Any], most: int) -> Coroutine[Any, Any, None] | None:
        """Handle entries of the mailbox while the actor goes on; ``taken`` says how many.

        No coroutine is made for a handler that has nothing to wait for, and no call for each of
        many entries: either costs as much as a good part of the rest.

        Args:
            mailbox: has an entry.
            most: entries at most.

        Returns:
            What is left to wait for, by the entry taken last, if anything.
        """
        cell, find, passing = self._cell, self._by_type.get, crashpoints.on_message
        actor, state, taken, decode = cell.actor, cell.state, 0, self._decode
        while mailbox and taken < most and cell.state is state and not cell.stop_wanted:
            taken += 1
            entry = mailbox.popleft()
            envelope: Envelope | None = None
            message: Any = entry
            kind = type(entry)
            if kind is Item:
                try:
                    message = decode(entry.body)
                except Exception as error:  # noqa: BLE001  (what checks a message is the user's own code)
                    self._not_understood(entry, error)
                    cell.skipped += 1
                    continue
                function = find(type(message))
            elif kind is Tick:
                if not cell.timers.take(entry):
                    cell.skipped += 1
                    continue
                message = entry.message
                function = find(type(message))
            else:
                function = find(kind)  # mostly it is a message, of those told in a row
                if function is None or kind is Terminated:
                    if kind is Envelope:
                        envelope = entry
                        message = self._opened(entry)
                    elif kind is Terminated:
                        message = entry if cell.takes(entry) else None
                    if message is None:
                        cell.skipped += 1
                        continue
                    function = find(type(message))
            if function is None:
                self._no_handler(entry, message)
                continue
            if envelope is not None:
                self.current = envelope
            try:
                if passing is not None:
                    passing(TAKEN, clock_of(message), cell.path, type(message).__name__)
                result = function(actor, message)
                if result is not None and isinstance(result, CoroutineType):
                    self.taken = taken
                    return self._awaited(result, envelope, message)
                if passing is not None:
                    passing(HANDLED, clock_of(message), cell.path, type(message).__name__)
                if envelope is not None and envelope.item.kind == ASK and not envelope.later:
                    rest = self._reply(envelope, result)
                    if rest is not None:
                        self.taken = taken
                        return self._awaited(rest, envelope, message, replied=True)
                cell.handled += 1
            except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
                self._raised(error, envelope, message)
            if envelope is not None:
                self.current = None
        self.taken = taken
        return None

    def handle_one(self, entry: Item | Tick) -> Coroutine[Any, Any, None] | None:
        """As ``handle``, for an entry that needs no mailbox, of an actor that goes on."""
        if crashpoints.on_message is not None:
            return self.handle(deque((entry,)), 1)
        cell = self._cell
        message: Any
        if isinstance(entry, Item):
            decode = self._decode  # Python finds faster what is called where it is read first
            try:
                message = decode(entry.body)
            except Exception as error:  # noqa: BLE001  (what checks a message is the user's own code)
                self._not_understood(entry, error)
                cell.skipped += 1
                return None
        elif entry.timer is not SPENT or cell.timers.take(entry):
            message = entry.message  # it is fresh from its timer: no other one is cancelled
        else:
            cell.skipped += 1
            return None
        function = self._by_type.get(type(message))
        if function is None:
            self._no_handler(entry, message)
            return None
        try:
            result = function(cell.actor, message)
            if result is not None and isinstance(result, CoroutineType):
                return self._awaited(result, None, message)
            cell.handled += 1
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._raised(error, None, message)
        return None

    def _no_handler(self, entry: Any, message: Any) -> None:
        why = f"no handler for it{self._of_base(type(message).__qualname__)}"
        self._system.dead_letter(self._cell.path, entry, why)
        self._cell.skipped += 1

    def _opened(self, envelope: Envelope) -> Any:
        """The message in an envelope; None where it is not to be handled."""
        expires = envelope.expires
        if envelope.cancelled or (expires > 0.0 and self._system.world.clock.now() > expires):
            self._system.dead_letter(self._cell.path, envelope, "the asker gave up")
            return None
        envelope.stashed = False
        try:
            if not envelope.arrays:
                envelope.message = self._decode(envelope.item.body)
            else:
                envelope.message = self._system.codec.decode(
                    self._union, envelope.item.body, envelope.arrays
                )
        except Exception as error:  # noqa: BLE001  (what checks a message is the user's own code)
            self._not_understood(envelope, error)
            return None
        return envelope.message

    def _not_understood(self, entry: Item | Envelope, error: Exception) -> None:
        item = entry.item if isinstance(entry, Envelope) else entry
        handled = sorted(kind.__qualname__ for kind in self._by_type)
        if tag_of(item.body) in handled or not handled or self._union is msgspec.Raw:
            why = f"not understood: {str(error) or type(error).__name__}"
        else:
            why = f"it handles only {', '.join(handled)}{self._of_base(tag_of(item.body))}"
        self._system.dead_letter(self._cell.path, entry, why)

    def _of_base(self, name: str) -> str:
        """What is to be done where the message's class is derived from one that is handled."""
        for kind in self._by_type:
            if any(one.__qualname__ == name for one in kinds_below(kind)):
                return (
                    f", and the handler of {kind.__qualname__} takes no {name}, which is derived "
                    "from it: add a handler for it"
                )
        return ""

    def _awaited(
        self,
        waiting: Coroutine[Any, Any, Any],
        envelope: Envelope | None,
        message: Any,
        *,
        replied: bool = False,
    ) -> Coroutine[Any, Any, None]:
        self._waiting = waiting
        return self._await(waiting, envelope, message, replied=replied)

    def never_awaited(self, rest: Coroutine[Any, Any, None]) -> None:
        """What ``handle`` left to wait for is not to be waited for any more, nor was it begun."""
        rest.close()
        if self._waiting is not None:
            self._waiting.close()

    async def _await(
        self,
        waiting: Coroutine[Any, Any, Any],
        envelope: Envelope | None,
        message: Any,
        *,
        replied: bool = False,
    ) -> None:
        """A handler that waits for something, or (``replied``) an answer that waits for room."""
        self._cell.be_busy()
        self.handles = type(message).__name__
        try:
            if envelope is not None and envelope.cancelled:  # before it could begin
                waiting.close()
                self._cell.skipped += 1
                return
            result = await waiting
            passing = crashpoints.on_message
            if passing is not None and not replied:
                passing(HANDLED, clock_of(message), self._cell.path, type(message).__name__)
            if not replied and envelope is not None and envelope.item.kind == ASK:
                rest = self._reply(envelope, result)
                if rest is not None:
                    await rest
            self._cell.handled += 1
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._raised(error, envelope, message)
        finally:
            self._cell.busy = False
            self.current = self._waiting = None
            self.handles = ""
            if envelope is not None and envelope.cancelled and not self._cell.patience.interrupted:
                # The handler may have ended it by itself: nothing of it is left for the next one.
                self._cell.uncancel()

    def _raised(self, error: BaseException, envelope: Envelope | None, message: Any) -> None:
        """A handler raised, or was cancelled."""
        self._cell.skipped += 1
        if envelope is not None and envelope.stashed:
            self._cell.stash.withdraw(envelope)
        if envelope is not None and envelope.cancelled and self._cell.uncancelled(error):
            return
        if self._cell.ended_by(error):
            if envelope is not None and envelope.item.kind == ASK:
                name, limit = type(message).__name__, self._cell.stop_timeout
                sentence = f"{self._cell.path} was stopped {limit:g} s into {name}"
                self._system.answer(envelope, wire.FAILED, Refusal("failed", sentence))
            return
        failure = Failure.of(error, "handler", type(message).__name__)
        try:
            if envelope is not None and envelope.item.kind == ASK:
                sentence = f"{self._cell.path} failed on {type(message).__name__}: {failure}"
                self._system.answer(
                    envelope, wire.FAILED, Refusal("failed", sentence, failure.traceback)
                )
        finally:
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
        if envelope.stashed:
            if result is not None:
                self._went_on(envelope, result)
            return None
        codec = self._system.codec
        try:
            body = codec.encode_raw(result)
        except Exception as error:  # noqa: BLE001  (user data decides what an encoder raises)
            self._unsendable(envelope, codec.cannot(result, error))
            return None
        arrays = codec.take() if codec.found else ()
        item = Item(0, self._cell.uid, REPLY, body, envelope.item.ask)
        link = envelope.link
        assert link is not None
        lane: Lane = "bulk" if arrays else "control"
        queues = self._system.router.queues
        if not queues or (link, lane) not in queues:
            try:
                if arrays:
                    self._system.put(link, item, arrays)
                else:
                    link.send(item, len(body) + OVERHEAD)
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

    def _went_on(self, envelope: Envelope, result: Any) -> None:
        """A handler has stashed its ask, and then made an answer that goes nowhere."""
        _log.warning(
            "%s has stashed %s and went on, to an answer (%s) that nobody gets now: the message is "
            "handled again when it is unstashed; write `return self.stash.stash(message)`",
            self._cell.path, tag_of(envelope.item.body), shown(result),
        )  # fmt: skip

    def answer(self, envelope: Envelope, result: Any) -> None:
        """Answer an ask whose handler left it for later; a node that is gone gets nothing.

        Raises:
            CannotEncode: the answer holds something that does not travel.
            LinkFull: the asker's node does not read.
        """
        body, arrays = self._system.codec.encode(result)
        item = Item(0, self._cell.uid, REPLY, body, envelope.item.ask)
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


#: ``Handling.handle_one`` of the one that is given first: read as its attribute, a method would be
#: made for each message.
handle_one: Final = Handling.handle_one
