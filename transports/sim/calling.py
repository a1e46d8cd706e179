"""What a simulated loop is asked to call, now and later."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from heapq import heappush
from typing import Any, Final, TypeVarTuple

from transports.sim.errors import RealWorldError
from transports.sim.handles import SimHandle, SimTimer
from transports.sim.quiet import QuietLoop
from transports.sim.timerqueue import STRETCH, TimerQueue
from transports.sim.units import SECOND, USUAL, nanoseconds

Ts = TypeVarTuple("Ts")

_CANCELLED: Final = 100
"""Cancelled timers from which on the heap is made anew once they are most of it: a busy node sets
and cancels a time-out for each request."""


class CallingLoop(QuietLoop):
    """Callbacks that are ready, and timers in virtual time; who runs them is ``SimLoop``."""

    # More than an object of Python 3.11 keeps at hand without them.
    __slots__ = (
        "_ready", "_stopping", "_timer_count", "_timers", "_trace", "enqueue", "now_ns", "tick",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        #: Virtual nanoseconds since the loop was made; read it only.
        self.now_ns = 0
        #: Rounds of callbacks so far; what is ready together runs in one.
        self.tick = 0
        self._ready: deque[Any] = deque()
        #: Has a ``handle`` called in the next round; it may be put there again once that was done.
        self.enqueue: Callable[[SimHandle], None] = self._ready.append
        self._timers = TimerQueue()
        self._timer_count = 0
        #: Of these, those that were cancelled and are forgotten.
        self._forgotten = 0
        self._cancelled = 0
        #: Whether those are most of all, and how many there are when that is looked at again.
        self._crowded = False
        self._look_from = _CANCELLED
        self._closed = False
        #: Told of each callback.
        self._trace: Callable[[int, asyncio.Handle], object] | None = None
        self._stopping = False
        self._thread = threading.get_ident()

    # Time

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.now_ns / SECOND

    # Callbacks and timers

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run ``callback(*args)`` in the next round.

        Raises:
            RuntimeError: the loop is closed.
        """
        if self._closed:
            self._check_closed()
        if context is None:
            context = copy_context()
        handle: Any  # both kinds are alike to who calls
        if self._debug:
            self._check_thread("call_soon")
            handle = asyncio.Handle(callback, args, self, context)
        else:
            handle = SimHandle(context, callback, args, self)
        self._ready.append(handle)
        return handle  # type: ignore[no-any-return]

    def handle(self, callback: Callable[[], object], context: Context) -> SimHandle:
        """A call for ``enqueue``: what ``call_soon`` makes anew each time."""
        return SimHandle(context, callback, (), self)

    def prepared(self, callback: Callable[[], object], context: Context) -> Callable[[], None]:
        """What does ``call_soon(callback, context=context)``, again and again, and gives nothing.

        Each call costs a tenth of that.
        """
        return partial(self.enqueue, self.handle(callback, context))

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """``call_soon``, for the loop's own thread only.

        Raises:
            RealWorldError: called from another thread: when it comes is not the seed's to decide.
            RuntimeError: the loop is closed.
        """
        self._check_thread("call_soon_threadsafe")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run ``callback(*args)`` after ``delay`` virtual seconds, rounded to nanoseconds.

        A positive delay is at least 1 ns, so waiting for the rest of an interval always ends.

        Raises:
            ValueError: ``delay`` is not a number.
            RuntimeError: the loop is closed.
        """
        if 0 < delay < USUAL:
            ns = round(delay * SECOND) or 1
            return self.call_at_ns(self.now_ns + ns, callback, *args, context=context)
        if math.isinf(delay) and delay > 0:
            return self._never(callback, args, context)
        ns = nanoseconds(delay)
        if ns <= 0:
            ns = 1 if delay > 0 else 0
        return self.call_at_ns(self.now_ns + ns, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run ``callback(*args)`` when ``time()`` is ``when``, rounded to nanoseconds.

        Raises:
            ValueError: ``when`` is not a number.
            RuntimeError: the loop is closed.
        """
        if math.isinf(when) and when > 0:
            return self._never(callback, args, context)
        ns = max(nanoseconds(when), self.now_ns)
        if ns == self.now_ns and when > self.time():
            ns += 1
        return self.call_at_ns(ns, callback, *args, context=context)

    def call_at_ns(
        self, ns: int, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run ``callback(*args)`` when ``now_ns`` is ``ns``; a time that has passed means now.

        Raises:
            RuntimeError: the loop is closed.
        """
        if self._closed:
            self._check_closed()
        if ns < self.now_ns:  # noqa: PLR1730  (a call costs more)
            ns = self.now_ns
        if context is None:
            context = copy_context()
        timer: Any  # both kinds are alike to who calls
        if self._debug:
            timer = asyncio.TimerHandle(ns / SECOND, callback, args, self, context)
            timer._scheduled = True  # noqa: SLF001  # asyncio's own mark, without which it does not report a cancellation
        else:
            timer = SimTimer(ns, callback, args, self, context)
        self._timer_count = number = self._timer_count + 1
        timers = self._timers
        if ns < timers.horizon:
            heappush(timers.near, (ns, number, timer))
        else:
            timers.put_off((ns, number, timer))
        return timer  # type: ignore[no-any-return]

    def again_at_ns(self, timer: Any, ns: int) -> asyncio.TimerHandle:
        """Set a timer anew that has come due, to a time to come; which one that is now."""
        if type(timer) is not SimTimer:  # in debug mode
            return self.call_at_ns(ns, timer._callback, *timer._args, context=timer._context)  # noqa: SLF001
        timer._ns, timer._scheduled = ns, True  # noqa: SLF001  (one of the loop's own)
        self._timer_count = number = self._timer_count + 1
        entry: Any = (ns, number, timer)
        timers = self._timers
        if ns < timers.horizon:
            heappush(timers.near, entry)
        else:
            timers.put_off(entry)
        return timer  # type: ignore[return-value]  # alike to who calls

    def again_in_ns(self, timer: Any, delay: int) -> asyncio.TimerHandle:
        """As ``again_at_ns``, in ``delay`` virtual nanoseconds from now, above 0."""
        ns = self.now_ns + delay
        timers = self._timers
        if ns < timers.horizon or type(timer) is not SimTimer:
            return self.again_at_ns(timer, ns)
        # As there, without the calls: each tick of each actor comes here.
        timer._ns, timer._scheduled = ns, True  # noqa: SLF001  (one of the loop's own)
        self._timer_count = number = self._timer_count + 1
        entries = timers.far.get(ns >> STRETCH)
        if entries is None:
            timers.put_off((ns, number, timer))  # type: ignore[arg-type]  # alike
        else:
            entries.append((ns, number, timer))  # type: ignore[arg-type]  # alike
        return timer  # type: ignore[return-value]  # alike to who calls

    def run_next(self, handle: SimHandle) -> None:
        """As ``enqueue``, where that is the last thing that a callback does.

        What would be the only one of the next round is called now, as it would be there.
        """
        if self.skip():
            handle._context.run(handle._callback)  # type: ignore[arg-type]  # noqa: SLF001  # not cancelled
        else:
            self._ready.append(handle)

    def skip(self) -> bool:
        """Where a callback is to end by leaving one for the next round: whether to make it now.

        It would be the only one there, and that round has begun.
        """
        near = self._timers.near
        if self._ready or self._trace or self._stopping or (near and near[0][0] <= self.now_ns):
            return False
        self.tick += 1
        return True

    def _never(
        self, callback: Callable[[*Ts], object], args: tuple[*Ts], context: Context | None
    ) -> asyncio.TimerHandle:
        self._check_closed()
        return asyncio.TimerHandle(math.inf, callback, args, self, context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        # asyncio calls this for each timer that is cancelled, before it says so itself.
        if handle._scheduled:  # type: ignore[attr-defined]  # noqa: SLF001  # asyncio's own mark
            self._cancelled += 1
            if self._cancelled > self._look_from:
                self._crowded = self._cancelled * 2 > len(self._timers)
                self._look_from += _CANCELLED

    def _forget_cancelled(self) -> None:
        self._timers.keep(lambda entry: not entry[2].cancelled())
        self._forgotten += self._cancelled
        self._cancelled, self._crowded, self._look_from = 0, False, _CANCELLED

    # Checks

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self!r} is closed: make a new one")

    def _check_thread(self, name: str) -> None:
        if threading.get_ident() != self._thread:
            raise RealWorldError(
                f"loop.{name}() was called from another thread: in simulated time everything runs "
                "on the loop's thread, so that the seed decides the order"
            )
