"""What leaves an actor system: tells and asks, from the loop's thread and from others."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from actors import item as wire
from actors.baton import current_turn
from actors.cell import CURRENT, Cell
from actors.chains import MAX_CHAIN, chain_of_thread, drawn
from actors.codec import Codec
from actors.errors import Unreachable, UsageError, WouldDeadlock
from actors.given import check_message, check_timeout
from actors.item import ASK, OVERHEAD, TELL, Item
from actors.message import CONTROL, Lane, Message, lane_of, reply_type
from actors.ref import ActorRef
from actors.runs import Run
from transports import (
    Channel,
    Link,
    LinkClosed,
    LinkFull,
    MessageTooLarge,
    Transfer,
    Weights,
)

if TYPE_CHECKING:
    from actors.system import ActorSystem

R = TypeVar("R")


class _OfThread(threading.local):
    """A codec holds what it found until that is taken, so each thread encodes by one of its own."""

    def __init__(self) -> None:
        # Encodes only, and so binds nothing.
        self.codec = Codec(ActorRef, lambda ref: ref.parts, lambda *parts: parts)


_of_thread = _OfThread()

# Read as an attribute of what was imported, a method would be made for each call.
_current: Final = CURRENT.get


class Sender:
    """Sends for the actors of one system, and for code outside of them.

    Args:
        system: whose; made on its loop's thread.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._codec = system.codec
        self._router = system.router
        self._asks = system.asks
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._run = Run()
        #: By the names of nodes, and which state of the links they are from.
        self._links: dict[str, Link[Item]] = {}
        self._seen = -1
        self._own: Channel[Item]
        self._encode = system.codec.encode_raw

    def tell(self, ref: ActorRef, message: Message[Any]) -> Transfer | None:
        """See ``ActorRef.send``."""
        if get_ident() != self._thread:
            self._tell_from_thread(ref, message)
            return None
        # All of it in one place, without calls: this is the path that has to be short.
        codec, run, encode = self._codec, self._run, self._encode
        try:
            body = encode(message)
        except Exception as error:
            wrong = codec.cannot(message, error)
            check_message("tell", message)
            raise wrong from error
        if (
            ref is run.ref
            and _current() is run.cell
            and run.queue[-1] is run.item
            and (type(message) is run.kind or run.takes(type(message)))
            and not codec.found
        ):
            own = self._own
            enqueued = own.enqueued + len(body) + OVERHEAD
            if enqueued <= own.soft:
                own.enqueued = enqueued
                run.bodies.append(body)
                return None
        link = ref._link if ref._seen == self._router.changes else self._link_of(ref)  # noqa: SLF001
        if link is None or type(message) not in CONTROL or codec.found:
            return self._tell_otherwise(ref, message, body, link)
        sender = _current()
        item = Item(ref.uid, 0 if sender is None else sender.uid, TELL, body)
        try:
            link.send(item, len(body) + OVERHEAD)
        except LinkClosed:
            self._system.dead_letter(ref.path, item, "unreachable")
            return None
        if link.local and link.own is not None and link.own.queue:
            self._begin_run(link.own, ref, sender)
        return None

    def _tell_otherwise(
        self, ref: ActorRef, message: Message[Any], body: bytes, link: Link[Item] | None
    ) -> Transfer | None:
        """What is the first of its type, travels on the bulk lane, or has no link to go by."""
        codec = self._codec
        arrays = codec.take() if codec.found else ()
        sender = _current()
        item = Item(ref.uid, 0 if sender is None else sender.uid, TELL, body)
        if link is not None:
            try:
                return self._router.put(link, item, arrays, bulk=lane_of(type(message)) == "bulk")
            except LinkClosed:
                pass
            except TypeError:  # lane_of says so of what is no message, whose type is not in CONTROL
                check_message("tell", message)
                raise
        check_message("tell", message)
        self._system.dead_letter(ref.path, item, "unreachable")
        return None

    def _begin_run(self, own: Channel[Item], ref: ActorRef, sender: Cell | None) -> None:
        self._own = own
        own.leaving = self._run.end
        self._run.begin(ref, sender, own.queue)

    def _link_of(self, ref: ActorRef) -> Link[Item] | None:
        """The link to a reference's node, and from now on with the reference."""
        router, links = self._router, self._links
        link = links.get(ref.node) if self._seen == router.changes else None
        if link is None:
            link = router.link_to(ref.node)
            if self._seen != router.changes:
                self._seen = router.changes
                links.clear()
            if link is not None:
                links[ref.node] = link
        ref._link, ref._seen = link, router.changes  # noqa: SLF001  (the system's own note)
        return link

    def on_loop(self, call: Callable[[], None]) -> None:
        """Make a call on the loop's thread: at once, or soon where this is another."""
        if get_ident() == self._thread:
            call()
            return
        turn = current_turn()
        if turn is None:
            self._loop.call_soon_threadsafe(call)
            return

        async def make_it() -> None:
            call()

        turn.on_loop(make_it)

    def _tell_from_thread(self, ref: ActorRef, message: Message[Any]) -> None:
        check_message("tell", message)
        kind = type(message)
        body, arrays = self._encode_in_thread(ref, message)
        self.on_loop(partial(self._tell_for_thread, ref, kind, body, arrays))

    def _encode_in_thread(
        self, ref: ActorRef, message: Message[Any]
    ) -> tuple[bytes, Sequence[Weights]]:
        """Encode where it is sent: what is altered or released later has left as it was.

        Raises:
            CannotEncode: some part of it does not travel.
            MessageTooLarge: it has no arrays and exceeds what the control lane takes.
        """
        body, arrays = _of_thread.codec.encode(message)
        size, most = len(body) + OVERHEAD, self._system.world.limits.max_message
        if not arrays and size > most and lane_of(type(message)) == "control":
            raise MessageTooLarge(
                f"{type(message).__qualname__} to {ref.path} takes {size} bytes and exceeds the "
                f"{most} of the control lane: send arrays as Weights, or raise Limits.max_message"
            )
        return body, [one.share() for one in arrays]

    def _tell_for_thread(
        self, ref: ActorRef, kind: type[Message[Any]], body: bytes, arrays: Sequence[Weights]
    ) -> None:
        """A blocking actor told something from its thread; it cannot wait for room in a link."""
        sender = _current()
        item = Item(ref.uid, 0 if sender is None else sender.uid, TELL, body)
        link, reason = self._link_of(ref), "unreachable"
        if link is not None:
            try:
                self._router.put(link, item, arrays, bulk=lane_of(kind) == "bulk")
            except LinkFull:
                reason = "link full"
            except LinkClosed:
                pass
            except MessageTooLarge as error:
                reason = str(error)
            else:
                return
        self._system.dead_letter(ref.path, item, reason)

    def ask_from_thread(self, ref: ActorRef, message: Message[R], timeout: float) -> R:
        """See ``ActorRef.ask_blocking``."""
        if get_ident() == self._thread:
            msg = f"{ref.path} cannot be asked by ask_blocking on the loop's thread; await ask()"
            raise UsageError(msg)
        check_timeout("ask_blocking", timeout)
        _check_asked("ask_blocking", message)
        encoded = (*self._encode_in_thread(ref, message), chain_of_thread())
        turn = current_turn()
        if turn is not None:
            return turn.on_loop(partial(self.ask, ref, message, timeout, encoded))
        return asyncio.run_coroutine_threadsafe(
            self.ask(ref, message, timeout, encoded), self._loop
        ).result()

    async def ask(
        self,
        ref: ActorRef,
        message: Message[R],
        timeout: float,
        encoded: tuple[bytes, Sequence[Weights], tuple[int, ...]] | None = None,
    ) -> R:
        """See ``ActorRef.ask``; ``encoded`` is what a thread gives: its message and its chain."""
        try:
            # Shorter ones are rare, and all that is wrong is among them: below 0, nan, True.
            if not timeout > 1.0:
                check_timeout("ask", timeout)
        except TypeError:
            check_timeout("ask", timeout)
            raise
        kind = type(message)
        try:
            reply_type(kind)  # one that names no reply is refused before it is sent
        except (TypeError, NameError):
            _check_asked("ask", message)
            raise
        if encoded is None:
            body, arrays = self._codec.encode(message)
            sender = _current()
            uid, chain = (0, ()) if sender is None else self._who_waits(sender)
        else:
            body, arrays, chain = encoded
            uid = 0
        if chain and (ref.uid in chain or len(chain) > MAX_CHAIN):
            raise await self._would_deadlock(ref, kind, chain)
        link = self._link_of(ref) if ref._seen != self._router.changes else ref._link  # noqa: SLF001
        if link is None:
            msg = f"{ref.path} cannot be asked: node {ref.node} is not known or dead"
            raise Unreachable(msg)
        asks, router = self._asks, self._router
        asks.number = number = asks.number + 1
        item = Item(ref.uid, uid, ASK, body, number, timeout, chain)
        lane: Lane = "bulk" if arrays else "control" if kind in CONTROL else lane_of(kind)
        waits = bool(router.queues) and (link, lane) in router.queues
        transfer: Transfer | None = None
        if not waits:
            try:
                if lane == "control":
                    link.send(item, len(body) + OVERHEAD)
                else:
                    transfer = router.put(link, item, arrays, bulk=True)
            except LinkFull:
                waits = True
            except LinkClosed as error:
                raise Unreachable(f"{ref.path} cannot be asked: {error}") from error
        # After it has left: the one that is asked need not wait for what is noted here. While it
        # waits for room it is known not to have left, and no link's end is its end.
        future = asks.open(number, ref, kind, timeout, None if waits else link)
        try:
            if waits:
                transfer = await self._put_when_there_is_room(link, item, arrays, lane, timeout)
                asks.leaves_over(link, number)
            return await future  # type: ignore[no-any-return]  # the decoder is built from Message[R]
        except BaseException as error:  # an answer has closed it
            if asks.close(number):
                if transfer is not None and not transfer.done.done():
                    transfer.done.cancel()  # what has not left stays here
                self._cancel_remote(link, ref, number)
            if isinstance(error, LinkClosed | _StayedFull):
                if future.done():
                    future.exception()  # its deadline, which nobody waits for any more
                raise Unreachable(f"{ref.path} cannot be asked: {error}") from error
            raise

    @staticmethod
    def _who_waits(sender: Cell) -> tuple[int, tuple[int, ...]]:
        """Who asks, and the actors that wait for the answer, that one last."""
        if asyncio.current_task() is not sender.task:
            return sender.uid, ()
        return sender.uid, (*sender.chain, sender.uid)

    async def _would_deadlock(
        self, ref: ActorRef, kind: type[Message[Any]], chain: tuple[int, ...]
    ) -> WouldDeadlock:
        """What an ask is refused with that leads back into its chain, or makes it too long."""
        circle = chain[chain.index(ref.uid) :] if ref.uid in chain else chain
        names = await drawn(self._system, circle, ref)
        if ref.uid in chain:
            return WouldDeadlock(
                f"{ref.path} waits for this ask of {kind.__name__} itself: {names}; "
                "tell it, or ask from pipe_to_self"
            )
        return WouldDeadlock(
            f"{len(chain)} actors wait for each other in a row: {names}; "
            "break the chain with tell, or ask from pipe_to_self"
        )

    async def _put_when_there_is_room(
        self,
        link: Link[Item],
        item: Item,
        arrays: Sequence[Weights],
        lane: Lane,
        timeout: float,
    ) -> Transfer | None:
        """Put an ask that found a full link; its deadline goes on meanwhile.

        Raises:
            LinkClosed: the link has ended.
            _StayedFull: there was no room in time.
        """
        clock = self._system.world.clock
        deadline = clock.now() + timeout

        def that_is_left() -> Item:
            return msgspec.structs.replace(item, remaining=max(0.0, deadline - clock.now()))

        try:
            async with asyncio.timeout(timeout):
                return await self._router.put_when_there_is_room(link, that_is_left, arrays, lane)
        except TimeoutError:
            raise _StayedFull(f"the link to {link.peer} stayed full for {timeout:g} s") from None

    def _cancel_remote(self, link: Link[Item], ref: ActorRef, number: int) -> None:
        with contextlib.suppress(LinkFull, LinkClosed):  # then its reply finds nobody
            link.send(Item(ref.uid, 0, wire.CANCEL, b"", number), OVERHEAD)

    async def drain(self, ref: ActorRef) -> None:
        """See ``ActorRef.drain``."""
        link = self._router.link_to(ref.node)
        if link is not None:
            await link.drain("bulk")
            await link.drain("control")


def _check_asked(call: str, message: Message[Any]) -> None:
    """Refuse what cannot be asked.

    Raises:
        UsageError: it is no message, or names no reply, or one that cannot be found.
    """
    check_message(call, message)
    try:
        reply_type(type(message))
    except (TypeError, NameError) as error:
        msg = f"{type(message).__qualname__} cannot be asked: {error}"
        raise UsageError(msg) from None


class _StayedFull(Exception):  # noqa: N818  (said in other words to people)
    """Said to the asker as ``Unreachable``."""
