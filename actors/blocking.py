"""Blocking actors: any ``pykka.ThreadingActor``, in its own thread, supervised like an ``Actor``.

pykka runs the thread and holds the instance; mailbox, supervision and addresses are ours. The
mailbox hands the thread one message at a time, so a stop does not wait behind a queue. What pykka
would do with an exception (log it and go on without the actor) or with ``SystemExit`` (stop every
actor of the process) it never gets to do: each call ends in a result that the supervisor sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard, TypeVar

from actors.actor import Actor
from actors.baton import Turn
from actors.chains import chained
from actors.errors import UsageError
from actors.events import ThreadAbandoned
from actors.message import Message
from actors.ref import ActorRef
from actors.work import Work

if TYPE_CHECKING:
    import pykka

    ActorClass: TypeAlias = type[Actor | pykka.ThreadingActor]
else:
    ActorClass: TypeAlias = type

T = TypeVar("T")
_log = logging.getLogger("actors.blocking")

EXIT_HUNG: Final = 71
"""Exit code of a child process one of whose blocking actors did not come back from a call."""


def actor_class(cls: type) -> type[Actor]:
    """The class that an actor of this class has in a cell: itself, or a bridge to its thread.

    Raises:
        UsageError: it is neither an ``Actor`` nor a ``pykka.ThreadingActor``.
        HandlerError: its handlers do not fit their messages.
    """
    if isinstance(cls, type) and issubclass(cls, Actor):
        return cls
    if not is_blocking(cls):
        msg = f"{cls!r} is not an actor class; derive it from actors.Actor or pykka.ThreadingActor"
        raise UsageError(msg)
    made = _bridges.get(cls)
    if made is None:
        made = _bridges[cls] = _bridge(cls)
    return made


def is_blocking(cls: type) -> TypeGuard[type[pykka.ThreadingActor]]:
    """Whether this is a class of pykka's threads; pykka is not imported to find out."""
    if not isinstance(cls, type) or "pykka" not in sys.modules:
        return False
    import pykka

    return issubclass(cls, pykka.ThreadingActor)


_bridges: weakref.WeakKeyDictionary[type, type[Actor]] = weakref.WeakKeyDictionary()


class Bridge(Actor):
    """Stands in a cell for a blocking actor; made by `actor_class`, one class for each of pykka's.

    Args:
        **arguments: of the blocking actor's constructor.
    """

    _blocking: type[pykka.ThreadingActor]

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._thread: _Thread | _SimThread | None = None
        self._error: BaseException | None = None

    async def on_start(self) -> None:
        """Construct it off the loop, then run its ``on_start`` in its thread."""
        work = self.system.world.work
        # Known before it is constructed: a constructor may hang like any other call.
        self._thread = _Thread(self.ref) if work is None else _SimThread(self.ref, work)
        try:
            await self._thread.start(self._blocking, self._arguments)
        except BaseException:
            if not self._thread.is_busy():
                self._thread = None  # there is no instance, and nothing to stop
            raise
        await self._call(self._blocking.on_start)

    async def on_stop(self) -> None:
        """Run ``on_stop``, or ``on_failure`` after a failure, and end the thread."""
        thread = self._thread
        if thread is None:
            return
        if thread.is_busy():
            self._abandon(thread)
            return
        error = self._error
        try:
            if error is None:
                await self._call(self._blocking.on_stop)
            else:
                about = (type(error), error, error.__traceback__)
                await self._call(self._blocking.on_failure, *about)
        finally:
            if thread.is_busy():
                self._abandon(thread)
            else:
                await thread.end()

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        assert self._thread is not None
        try:
            return await self._thread.call(function, *arguments)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._error = error
            raise

    def _abandon(self, thread: _Thread | _SimThread) -> None:
        """A thread cannot be ended from outside: its process is, where there is one of its own."""
        path, launcher = self.ref.path, self.system.router.launcher
        thread.abandon()
        self.system.abandoned += 1
        # Told to parent and watchers: this is no stop like others.
        self._cell.reason = "abandoned: its thread did not come back from a call"
        self.system.events.publish(ThreadAbandoned(path=path, node=self.system.name))
        _log.error("%s did not come back from a call; its thread %r is abandoned", path, thread)
        if launcher is not None and self.system.world.work is None:
            logging.shutdown()
            os._exit(EXIT_HUNG)


def _bridge(cls: type[pykka.ThreadingActor]) -> type[Actor]:
    from actors.handlers import handlers_of

    members: dict[str, Any] = {"_blocking": cls, "__doc__": cls.__doc__}
    for message, function in handlers_of(cls).by_type.items():
        members[f"handle_{message.__qualname__}_{len(members)}"] = _handler(function)
    return type(cls.__name__, (Bridge,), {**members, "__module__": cls.__module__})


def _handler(function: Callable[..., Any]) -> Callable[..., Any]:
    async def handle(self: Bridge, message: Any) -> Any:
        return await self._call(function, message)

    # The same annotations, under the names that they have there.
    handle.__wrapped__ = function  # type: ignore[attr-defined]  # as functools.wraps does
    handle.__annotations__ = function.__annotations__
    return handle


class _Job:
    """A call that the thread makes; its outcome goes to the loop, whatever it is."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self._loop.create_future()

    def run(self, instance: Any) -> None:
        result, error = None, None
        try:
            result = self._call(instance)
        except BaseException as raised:  # noqa: BLE001  (pykka would stop all actors of the process)
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            _log.debug("the loop was closed before a call in a thread ended")

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(as_exception(error))


def as_exception(error: BaseException) -> Exception:
    """An exception that a future takes and that does not end the loop: no SystemExit, say."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"a blocking actor raised {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _off_loop(call: Callable[[], Any], name: str) -> _Job:
    """Make a call in a daemon thread of its own.

    Not in the loop's pool: a few calls that hang would leave no worker to healthy actors, and the
    end of the program would wait for them.
    """
    job = _Job(lambda _: call())
    threading.Thread(target=job.run, args=(None,), name=name, daemon=True).start()
    return job


class _Held:
    """What holds pykka's reference to one instance; set in the thread that constructs it.

    Args:
        actor: whose instance it is.
    """

    def __init__(self, actor: ActorRef) -> None:
        self._actor = actor
        self._ref: Any = None
        self._abandoned = False

    def _construct(self, blocking: type[Any], arguments: dict[str, Any]) -> None:
        _under_construction.actor = self._actor
        self._ref = _threaded(blocking).start(**arguments)
        if self._abandoned:  # while it was constructed: nobody will use it any more
            self._ref.stop(block=False)

    def abandon(self) -> None:
        """Have the thread end if it ever comes back."""
        self._abandoned = True
        if self._ref is not None:
            self._ref.stop(block=False)


class _Thread(_Held):
    """pykka's thread around one instance."""

    def __init__(self, actor: ActorRef) -> None:
        super().__init__(actor)
        self._job: _Job | None = None

    async def start(self, blocking: type[Any], arguments: dict[str, Any]) -> None:
        name = f"constructor of {blocking.__name__}"
        self._job = job = _off_loop(partial(self._construct, blocking, arguments), name)
        await asyncio.shield(job.done)

    def is_busy(self) -> bool:
        return self._job is not None and not self._job.done.done()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        self._job = job = _Job(chained(lambda instance: function(instance, *arguments)))
        self._ref.tell(job)
        # Shielded: who waits may be cancelled, the thread goes on and is busy until it comes back.
        result: T = await asyncio.shield(job.done)
        return result

    async def end(self) -> None:
        # A stopped actor's thread has ended: who awaits the stop finds nothing of it left.
        await _off_loop(lambda: self._ref.stop(block=True), "end of a blocking actor").done

    def __repr__(self) -> str:
        return f"<thread of {self._ref or 'an actor under construction'}>"


class _SimThread(_Held):
    """The same in a simulation: it runs while the loop waits for it, see ``actors.baton``."""

    def __init__(self, actor: ActorRef, work: Work) -> None:
        super().__init__(actor)
        #: The call that is under way, or that the thread never came back from.
        self._turn: Turn | None = None
        work.at_end(self._stop)

    async def start(self, blocking: type[Any], arguments: dict[str, Any]) -> None:
        # Constructed off the loop, as elsewhere: the constructor may ask others.
        turn = Turn(lambda _: self._construct(blocking, arguments))
        name = f"constructor of {blocking.__name__}"
        threading.Thread(target=turn.run, args=(None,), name=name, daemon=True).start()
        await self._answer(turn)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        turn = Turn(chained(lambda instance: function(instance, *arguments)))
        self._ref.tell(turn)
        result: T = await self._answer(turn)
        return result

    async def _answer(self, turn: Turn) -> Any:
        self._turn = turn
        try:
            return await turn.outcome()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            raise as_exception(error) from error.__cause__
        finally:
            if not turn.kept:
                self._turn = None

    def is_busy(self) -> bool:
        return self._turn is not None

    async def end(self) -> None:
        self._stop()

    def _stop(self) -> None:
        turn = self._turn
        if turn is not None:
            with contextlib.suppress(UsageError):  # it does not come back even so
                turn.abandon()
        if turn is not None and turn.kept:
            # It is left: its thread is a daemon, and ends when it comes back.
            self.abandon()
        elif self._ref is not None:
            self._ref.stop(block=True)

    def __repr__(self) -> str:
        return f"<thread of {self._ref} in a simulation>"


class _UnderConstruction(threading.local):
    """The actor whose instance this thread constructs."""

    actor: ActorRef


_under_construction = _UnderConstruction()


def _astray(actor: ActorRef, message: Any) -> None:
    """Somebody used pykka's own reference (``self.actor_ref``): its thread is not our mailbox."""
    if isinstance(message, Message):
        actor.tell(message)
        return
    system, name = actor.system, type(message).__name__
    reason = "pykka's own reference takes only a Message; use the ActorRef that spawn returned"
    _log.error("%s got a %s through actor_ref: %s", actor.path, name, reason)
    system.sender.on_loop(partial(system.dead_letter, actor.path, message, reason))


def _hook(name: str, original: Callable[..., None]) -> Callable[..., None]:
    """A hook that pykka calls in vain, since it is a job for us; the user's own calls count."""

    def hook(self: Any, *arguments: Any) -> None:
        if self._at_work:
            original(self, *arguments)

    hook.__name__ = name
    return hook


def _threaded(blocking: type[Any]) -> type[Any]:
    made = _threads.get(blocking)
    if made is None:

        def construct(self: Any, *arguments: Any, **options: Any) -> None:
            self._at_work = False
            self._actors_ref = _under_construction.actor
            blocking.__init__(self, *arguments, **options)
            if not hasattr(self, "actor_urn"):  # which the constructor of pykka sets
                owner = next(cls for cls in blocking.__mro__ if "__init__" in vars(cls))
                msg = f"{owner.__name__}.__init__ does not call super().__init__(); add it"
                raise UsageError(msg)

        def on_receive(self: Any, message: Any) -> None:
            if not isinstance(message, _Job | Turn):
                _astray(self._actors_ref, message)
                return
            self._at_work = True
            try:
                message.run(self)
            finally:
                self._at_work = False

        def stop(self: Any) -> None:
            """The actor, not its thread alone."""
            self._actors_ref.stop()

        made = _threads[blocking] = type(
            blocking.__name__,
            (blocking,),
            {
                "__init__": construct,
                "on_receive": on_receive,
                **{
                    name: _hook(name, getattr(blocking, name))
                    for name in ("on_start", "on_stop", "on_failure")
                },
                "stop": stop,
                # One that hangs must not keep the interpreter from ending.
                "use_daemon_thread": True,
                "__module__": blocking.__module__,
            },
        )
    return made


_threads: weakref.WeakKeyDictionary[type, type[Any]] = weakref.WeakKeyDictionary()
