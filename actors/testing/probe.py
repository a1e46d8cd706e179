"""An actor of a test's own: it receives anything, and the test says what it expects."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Self, TypeVar

import msgspec

from actors.actor import Actor
from actors.cell import Cell
from actors.errors import UsageError
from actors.events import DeadLetter
from actors.given import check_callable, check_class_of, check_kind, check_message, check_ref
from actors.handlers import handle_undecoded
from actors.message import Message
from actors.ref import ActorRef
from actors.signals import Terminated
from actors.system import ActorSystem
from actors.testing.answers import Asked, When, refuse
from actors.testing.arrivals import KEPT, PATIENCE, Arrivals, condition, listed, shown
from actors.testing.received import Received

M = TypeVar("M", bound=Message[Any])
R = TypeVar("R")


class TestProbe:
    """An actor of the test's own, made by ``await TestProbe.on(system)``.

    Its ``ref`` can be given to other actors, which tell and ask it like any other. It takes
    messages of every type. They queue until the test expects them, in the order in which they came.
    """

    #: Not a class of tests, whatever pytest takes its name for.
    __test__ = False

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._arrivals = Arrivals(system.world.clock)
        #: Not expected so far.
        self._queue: deque[Received | Terminated] = deque()
        self._all: deque[Received | Terminated] = deque(maxlen=KEPT)
        self._asks: list[Received] = []
        self._answers: dict[type[Message[Any]], Callable[[Any], Any]] = {}
        self._watched: set[int] = set()
        self._cell: Cell

    @classmethod
    async def on(cls, system: ActorSystem, name: str | None = None) -> Self:
        """A new probe, as a top-level actor of that system.

        Args:
            system: on which it lives.
            name: of the actor; "probe", "probe2", … where not given.

        Raises:
            UsageError: the name is taken or not a name, or there is no system.
        """
        check_kind("TestProbe.on", "an ActorSystem", system, ActorSystem)
        probe = cls(system)
        if name is None:
            taken = {cell.path for cell in system.cells.values()}
            names = ("probe" if n == 1 else f"probe{n}" for n in itertools.count(1))
            name = next(one for one in names if f"/{one}" not in taken)
        ref = await system.spawn(name, _Probed, probe=probe)
        cell = system.cell(ref)
        assert cell is not None
        probe._cell = cell
        return probe

    @property
    def ref(self) -> ActorRef:
        """Its address, for other actors."""
        return self._cell.ref

    @property
    def messages(self) -> tuple[Message[Any], ...]:
        """All that came so far, expected or not, in order; the newest 10,000.

        A message whose class is not loaded in this process is left out.
        """
        each = (one if isinstance(one, Terminated) else one.read() for one in self._all)
        return tuple(one for one in each if one is not None)

    # -- expecting ------------------------------------------------------------------------------

    async def expect_message(
        self,
        kind: type[M],
        *,
        timeout: float = PATIENCE,
        where: Callable[[M], bool] | None = None,
    ) -> M:
        """The next message, which is of this type.

        Args:
            kind: its class, or one from which that is derived.
            timeout: seconds of the system's clock within which it comes.
            where: holds for it.

        Raises:
            AssertionError: another message came first, or none in time.
            UsageError: no class of messages, no function, or no seconds from 0.
        """
        _check_expected("expect_message", kind, where)
        expected = f"a {kind.__qualname__}{condition(where)}"

        def look() -> M | None:
            if not self._queue:
                return None
            first = self._queue[0]
            found = self._as(kind, first)
            if found is None or (where is not None and not where(found)):
                rest = list(self._queue)[1:]
                msg = (
                    f"{self._cell.path} expected {expected}, but {shown(first)} came; "
                    f"still in the queue: {listed(rest)}"
                )
                raise AssertionError(msg)
            self._queue.popleft()
            return found

        found = await self._arrivals.wait(look, timeout)
        if found is None:
            msg = f"{self._cell.path} expected {expected}, but nothing came within {timeout:.6g} s"
            raise AssertionError(f"{msg}; {self._state()}")
        return found

    async def fish_for_message(
        self,
        kind: type[M],
        *,
        timeout: float = PATIENCE,
        where: Callable[[M], bool] | None = None,
    ) -> M:
        """The first message that is of this type; what comes before it is dropped.

        Args:
            kind: its class, or one from which that is derived.
            timeout: seconds of the system's clock within which it comes.
            where: holds for it.

        Raises:
            AssertionError: none came in time.
            UsageError: no class of messages, no function, or no seconds from 0.
        """
        _check_expected("fish_for_message", kind, where)
        passed: list[Received | Terminated] = []

        def look() -> M | None:
            while self._queue:
                first = self._queue.popleft()
                found = self._as(kind, first)
                if found is not None and (where is None or where(found)):
                    return found
                passed.append(first)
            return None

        found = await self._arrivals.wait(look, timeout)
        if found is None:
            msg = (
                f"{self._cell.path} fished for a {kind.__qualname__}{condition(where)}, but within "
                f"{timeout:.6g} s there came {listed(passed)}"
            )
            raise AssertionError(msg)
        return found

    async def expect_no_message(self, *, for_: float = 0.1) -> None:
        """Nothing is in the queue, and nothing comes for some time.

        Args:
            for_: seconds of the system's clock.

        Raises:
            AssertionError: something was there, or came.
        """
        came = await self._arrivals.wait(lambda: self._queue or None, for_)
        if came is not None:
            msg = (
                f"{self._cell.path} expected no message for {for_:.6g} s, but {shown(came[0])} "
                f"came; still in the queue: {listed(list(came)[1:])}"
            )
            raise AssertionError(msg)

    async def expect_terminated(self, ref: ActorRef, *, timeout: float = PATIENCE) -> Terminated:
        """That actor is gone, or goes now; it is watched if it was not yet.

        Other messages may have come before.

        Args:
            ref: the actor.
            timeout: seconds of the system's clock within which it goes.

        Returns:
            Which actor, and why it is gone.

        Raises:
            AssertionError: it lives.
            UsageError: no reference, or no seconds from 0.
        """
        check_ref("expect_terminated", ref)

        def look() -> Terminated | None:
            for one in self._queue:
                if isinstance(one, Terminated) and one.uid == ref.uid:
                    self._queue.remove(one)
                    return one
            return None

        found = look()
        if found is None:
            if ref.uid not in self._watched:
                self.watch(ref)
            found = await self._arrivals.wait(look, timeout)
        if found is None:
            msg = (
                f"{self._cell.path} expected {ref!r} to be gone within {timeout:.6g} s, but heard "
                f"nothing of it; {self._state()}"
            )
            raise AssertionError(msg)
        return found

    def _as(self, kind: type[M], one: Received | Terminated) -> M | None:
        if isinstance(one, Received):
            found = one.read_as(kind)
            assert found is None or isinstance(found, kind)
            return found
        return one if isinstance(one, kind) else None

    def _state(self) -> str:
        state = f"still in the queue: {listed(self._queue)}"
        return f"{state} (the probe was stopped)" if self._cell.stop_wanted else state

    # -- watching -------------------------------------------------------------------------------

    def watch(self, ref: ActorRef) -> None:
        """Have one ``Terminated`` come when that actor is gone, at once if it already is."""
        check_ref("watch", ref)
        self._watched.add(ref.uid)
        self._cell.watch(ref)

    def unwatch(self, ref: ActorRef) -> None:
        """No longer care."""
        check_ref("unwatch", ref)
        self._watched.discard(ref.uid)
        self._cell.unwatch(ref)

    # -- answering ------------------------------------------------------------------------------

    def asked(self, message: Message[R]) -> Asked[R]:
        """The ask that this message came with: ``probe.asked(message).reply(answer)``.

        Args:
            message: the very one that ``expect_message`` returned.

        Raises:
            UsageError: it was told, not asked, or has its answer.
        """
        check_message("asked", message)
        for received in self._asks:
            if received.message is message:
                return Asked(self._cell, received, self._asks.remove)
        msg = (
            f"nobody waits for an answer of {self._cell.path} to {shown(message)}: it was told, "
            "or has its answer, or is not the object that expect_message returned"
        )
        raise UsageError(msg)

    def when(self, kind: type[Message[R]]) -> When[R]:
        """Say what happens to each message of a type: ``probe.when(Greet).reply("hello")``.

        They are answered as they come, and still expected by ``expect_message``.

        Args:
            kind: the class, or one from which it is derived.

        Raises:
            UsageError: no class of messages.
        """
        check_class_of("when", "messages", kind, Message)
        return When(self._cell, kind, self._answers)

    # -- life -----------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop it; who waits for an answer gets ``ActorFailed``, who watches it ``Terminated``."""
        await self._system.stop(self.ref)

    def _took(self, received: Received) -> Any:
        """Called for each message; the answer where there is one at once."""
        if len(self._queue) >= KEPT:
            name = received.tag.rpartition(":")[2]
            reason = f"the test did not expect the {KEPT} before it"
            self._system.events.publish(DeadLetter(to=self._cell.path, message=name, reason=reason))
            return None
        self._keep(received)
        envelope = received.envelope if received.is_ask else None
        for kind in reversed(self._answers):
            try:
                message = received.read_as(kind)
                if message is None:
                    continue
                return self._answers[kind](message)
            except Exception as error:  # noqa: BLE001  (what answers is the test's own code)
                if envelope is not None:
                    envelope.later = True
                    refuse(self._cell, envelope, kind.__name__, error)
                return None
        if envelope is not None:
            envelope.later = True
            self._asks.append(received)
        return None

    def _keep(self, one: Received | Terminated) -> None:
        if isinstance(one, Terminated):
            self._watched.discard(one.uid)
        self._queue.append(one)
        self._all.append(one)
        self._arrivals.came()

    def _end(self) -> None:
        for received in self._asks:
            assert received.envelope is not None
            error = RuntimeError("the probe was stopped before it answered")
            refuse(self._cell, received.envelope, received.tag.rpartition(":")[2], error)
        self._asks.clear()

    def __repr__(self) -> str:
        return (
            f"<TestProbe {self._cell.system.name}{self._cell.path} queue={len(self._queue)} "
            f"asks={len(self._asks)}>"
        )


def _check_expected(call: str, kind: Any, where: Any) -> None:
    check_class_of(call, "messages", kind, Message)
    if where is not None:
        check_callable(call, "where=", where)


class _Probed(Actor):
    """The probe's own actor."""

    def __init__(self, probe: TestProbe) -> None:
        self._probe = probe

    async def on_stop(self) -> None:
        self._probe._end()  # noqa: SLF001  (the probe and its actor are one unit)

    def terminated(self, message: Terminated) -> None:
        self._probe._keep(message)  # noqa: SLF001

    def _undecoded(self, raw: msgspec.Raw) -> Any:
        received = Received(self.system.codec, bytes(raw), self._cell.current)
        return self._probe._took(received)  # noqa: SLF001


handle_undecoded(_Probed, _Probed._undecoded)  # noqa: SLF001
