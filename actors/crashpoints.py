"""Named places in the code at which a process can be made to die, freeze or fail, once and exactly.

A kill from outside hits whatever the process happens to do; whether a run survives a kill *between
two lines* is asked here. A point costs one look at a global where nothing is installed.

    crash_point("aggregator.merged", clock=clock)

and, in the environment of the process or by `install`:

    [{"point": "aggregator.merged", "at": {"clock": 3}, "action": "sigkill"}]
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import Annotated, Final, NoReturn

import msgspec
from msgspec import Meta

from actors.errors import ActorError, FaultError, UsageError

VARIABLE: Final = "ACTORS_CRASH_POINTS"
"""Environment variable that holds crash points as JSON."""

_REACHED: Final = "actors: crash point reached: "

_SIGNALS = {"sigkill": signal.SIGKILL, "sigstop": signal.SIGSTOP}
_ACTIONS = (*_SIGNALS, "exit:N", "raise", "segfault", "hang", "oom")

TAKEN: Final = "actor.message"
"""The point that every actor passes before it handles a message."""
HANDLED: Final = "actor.handled"
"""The point that it passes after that, before its answer leaves."""
_OF_MESSAGES = (TAKEN, HANDLED)


class CrashPointReached(ActorError):  # noqa: N818  (it is what was ordered, not an error of ours)
    """The action "raise": the code at a crash point fails like any other that raises."""


_Pattern = Annotated[str, Meta(min_length=1, max_length=256)]

MOST_COUNT: Final = 2**63 - 1
"""Of passages, starts and clocks: what travels to processes is a number of 64 bits."""


class AtClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first passage of a point in this clock.

    Attributes:
        clock: as the point tells it; points that tell none never match.
    """

    clock: Annotated[int, Meta(ge=0, le=MOST_COUNT)]


class CrashPoint(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="crash", tag_field="kind"
):
    """What shall happen where, once.

    It holds for one start of a process: the successor that a supervisor starts counts one start
    more and passes unharmed, so a crash never repeats itself. A restart of an actor *within* the
    process neither counts as a start nor begins the counting of passages anew.

    Attributes:
        point: name of the point.
        action: "sigkill"; "sigstop", after which SIGCONT lets the code go on; "exit:N", at once and
            without cleaning up; "raise" a `CrashPointReached`; "segfault"; "hang", the thread for
            ever, the process alive; "oom", the MemoryError of a system that refuses memory (one
            that kills instead is a "sigkill" to all but its own counter).
        at: nth passage of the point in this process, from 1, or an `AtClock`; of passages by
            another actor or with another message none is counted.
        start: start of the process it holds for, 0 for the first under its launcher.
        node: name of the process, a pattern as of file names; None for any that is given this.
        actor: path of the actor, a pattern; only "actor.message" and "actor.handled" tell it.
        message: name of the message's class, a pattern; likewise.
    """

    point: Annotated[str, Meta(min_length=1)]
    action: str
    at: Annotated[int, Meta(ge=1, le=MOST_COUNT)] | AtClock = 1
    start: Annotated[int, Meta(ge=0, le=MOST_COUNT)] = 0
    node: str | None = None
    actor: _Pattern = "*"
    message: _Pattern = "*"

    def __post_init__(self) -> None:
        if self.action not in _ACTIONS and _exit_code(self.action) is None:
            raise FaultError(
                f"the action {self.action!r} of crash point {self.point!r} is none of "
                f"{', '.join(_ACTIONS)} (N from 0 to 255)"
            )
        if self.point not in _OF_MESSAGES and (self.actor, self.message) != ("*", "*"):
            raise FaultError(
                f"the crash point {self.point!r} tells neither actor nor message; only "
                f"{' and '.join(_OF_MESSAGES)} do"
            )


class CrashPointStatistics(msgspec.Struct, frozen=True):
    """What a process passed.

    Attributes:
        passed: passages by point, since crash points were installed.
        waiting: crash points that hold for this process and have not come up yet.
        reached: those that have, in order, as far as the process outlived them.
    """

    passed: Mapping[str, int]
    waiting: tuple[CrashPoint, ...]
    reached: tuple[CrashPoint, ...]


class _Order:
    """One crash point and how often what it waits for came by."""

    def __init__(self, point: CrashPoint) -> None:
        self.point = point
        self._times = 0

    def passed(self, clock: int | None, actor: str, message: str) -> bool:
        """Count a passage of its point, if it is meant; whether it is due."""
        point = self.point
        if (point.actor != "*" and not fnmatchcase(actor, point.actor)) or (
            point.message != "*" and not fnmatchcase(message, point.message)
        ):
            return False
        self._times += 1
        return self._times == point.at if isinstance(point.at, int) else clock == point.at.clock


class CrashPoints:
    """Counts passages and says which action is due; it performs none.

    Args:
        points: of all processes and starts.
        node: name of this process.
        generation: its start under its launcher, >= 0.
        tell: called with each point that is reached, before its action.
    """

    def __init__(
        self,
        points: Sequence[CrashPoint],
        node: str,
        generation: int,
        tell: Callable[[CrashPoint], object] | None = None,
    ) -> None:
        self._node = node
        self._tell = tell
        self._generation = generation
        self._waiting = [
            _Order(p)
            for p in points
            if p.start == generation and (p.node is None or fnmatchcase(node, p.node))
        ]
        self._reached: list[CrashPoint] = []
        self._passed: Counter[str] = Counter()
        # Points lie in the loop, the training lane and the storage's thread alike.
        self._lock = threading.Lock()

    def passed(
        self, point: str, clock: int | None, actor: str = "", message: str = ""
    ) -> str | None:
        """Count a passage; the action that is due, or None.

        Where several are due at once, the first in the list happens and the others never will.
        """
        with self._lock:
            self._passed[point] += 1
            due = [
                order
                for order in self._waiting
                if order.point.point == point and order.passed(clock, actor, message)
            ]
            if not due:
                return None
            self._waiting = [order for order in self._waiting if order not in due]
            reached = due[0].point
            self._reached.append(reached)
        if self._tell is not None:
            self._tell(reached)
        return reached.action

    def statistics(self) -> CrashPointStatistics:
        """Tell what was passed."""
        with self._lock:
            return CrashPointStatistics(
                dict(self._passed),
                tuple(order.point for order in self._waiting),
                tuple(self._reached),
            )

    def __repr__(self) -> str:
        now = self.statistics()
        return (
            f"<CrashPoints of {self._node} start={self._generation} waiting={len(now.waiting)} "
            f"reached={len(now.reached)} passed={sum(now.passed.values())}>"
        )


Watcher = Callable[[str, int | None, str, str], None]

_lookout: Watcher | None = None
_installed: CrashPoints | None = None
_watcher: Watcher | None = None

on_message: Watcher | None = None
"""What an actor calls with (point, clock, path, name of the message's class) before and after it
handles a message; None where nothing is ordered for that."""


def crash_point(name: str, clock: int | None = None) -> None:
    """Pass a point; what is ordered for this passage happens here, in the calling thread.

    Args:
        name: "actor.moment", as in "aggregator.merged".
        clock: that is being computed, if any.

    Raises:
        CrashPointReached: ordered by "raise".
        MemoryError: ordered by "oom".
    """
    if _watcher is not None or _installed is not None:
        _pass(name, clock, "", "")


def _pass(name: str, clock: int | None, actor: str, message: str) -> None:
    if _lookout is not None and name in _OF_MESSAGES:
        _lookout(name, clock, actor, message)
    if _watcher is not None:
        _watcher(name, clock, actor, message)
    elif _installed is not None:
        action = _installed.passed(name, clock, actor, message)
        if action is not None:
            _perform(action, name)


def clock_of(message: object) -> int | None:
    """What the field ``clock`` of a message, or of a structure in it, holds."""
    if not isinstance(message, msgspec.Struct):
        return None
    clock = getattr(message, "clock", None)
    if clock is None:
        parts = (getattr(message, name) for name in message.__struct_fields__)
        clock = next((found for part in parts if (found := clock_of(part)) is not None), None)
    return clock if isinstance(clock, int) else None


@contextmanager
def watched_by(
    watcher: Watcher, points: Sequence[CrashPoint], *, messages: bool = False
) -> Iterator[None]:
    """Within the block each passage calls ``watcher(point, clock, actor, message)``, nothing else.

    A simulation has many nodes in one process and sees to them itself.

    Args:
        watcher: is called.
        points: that are ordered; without any of messages, actors call nothing for each.
        messages: whether they do so even then.
    """
    global _watcher, on_message  # noqa: PLW0603  (one simulation at a time)
    before = _watcher, on_message
    _watcher = watcher
    on_message = _pass if messages or _of_messages(points) else None
    try:
        yield
    finally:
        _watcher, on_message = before


def _of_messages(points: Sequence[CrashPoint]) -> bool:
    return any(point.point in _OF_MESSAGES for point in points)


def raise_for(action: str, name: str) -> NoReturn:
    """Raise what "raise" and "oom" order.

    Raises:
        CrashPointReached: for "raise".
        MemoryError: for "oom".
    """
    if action == "raise":
        raise CrashPointReached(f"crash point {name} was ordered to raise")
    raise MemoryError(f"crash point {name} was ordered to run out of memory")


def install(
    points: Sequence[CrashPoint],
    *,
    node: str,
    generation: int,
    tell: Callable[[CrashPoint], object] | None = None,
    lookout: Watcher | None = None,
) -> CrashPoints | None:
    """Put crash points in force in this process, instead of those before.

    Args:
        points: of all processes and starts; none of them costs nothing.
        node: name of this process.
        generation: its start, >= 0.
        tell: called with each point that is reached, before its action; `announce`, where a
            launcher reads what this process prints.
        lookout: called with each message before and after an actor handles it, ahead of the crash
            points; None for nothing.

    Returns:
        The counter, for its `statistics`; None where no point holds for this process and start.
    """
    global _installed, _lookout, on_message  # noqa: PLW0603  (a process dies as a whole)
    found = CrashPoints(points, node, generation, tell)
    waiting = found.statistics().waiting
    _installed = found if waiting else None
    _lookout = lookout
    on_message = _pass if lookout is not None or _of_messages(waiting) else None
    return _installed


def install_from(environ: Mapping[str, str], *, node: str, generation: int) -> CrashPoints | None:
    """Put the crash points of an environment in force; see `install`.

    Raises:
        UsageError: the variable holds something else.
    """
    text = environ.get(VARIABLE)
    return install(decode(text) if text else (), node=node, generation=generation)


def decode(text: str | bytes) -> list[CrashPoint]:
    """Read a JSON list of crash points.

    Raises:
        UsageError: it is none; where and why is in the sentence.
    """
    try:
        return msgspec.json.decode(text, type=list[CrashPoint])
    except msgspec.DecodeError as error:
        raise UsageError(f"these are no crash points: {error}") from None


def encode(points: Sequence[CrashPoint]) -> str:
    """Write crash points as the JSON that `decode` reads and `VARIABLE` holds."""
    return msgspec.json.encode(points).decode()


def announcement(point: CrashPoint) -> str:
    """The line by which a process says that it has reached a point; see `announced`."""
    return _REACHED + msgspec.json.encode(point).decode()


def announce(point: CrashPoint) -> None:
    """Print the `announcement`, past all buffers: the process may not live to empty them."""
    with suppress(OSError):  # nobody reads any more
        # On a line of its own, whatever was printed before without an end.
        os.write(1, f"\n{announcement(point)}\n".encode())


def announced(line: str) -> CrashPoint | None:
    """The point that a line of output announces, if it does."""
    before, found, text = line.partition(_REACHED)
    if not found or before:
        return None
    try:
        return msgspec.json.decode(text, type=CrashPoint)
    except msgspec.DecodeError:  # printed by somebody else
        return None


def _exit_code(action: str) -> int | None:
    word, _, number = action.partition(":")
    if word != "exit" or not (number.isascii() and number.isdecimal()) or int(number) > 255:
        return None
    return int(number)


def _perform(action: str, name: str) -> None:
    code = _exit_code(action)
    if code is not None:
        os._exit(code)
    number = _SIGNALS.get(action)
    if number is not None:
        # To this very thread: sent to the process, another thread may take it, and this one would
        # run on past the point until then.
        signal.pthread_kill(threading.get_ident(), number)
    elif action in {"raise", "oom"}:
        raise_for(action, name)
    elif action == "segfault":
        _segfault()
    else:
        _hang()


def _segfault() -> None:
    import resource

    # No core file: it would be as large as the process, wherever that happens to stand.
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    ctypes.memset(0, 0, 1)


def _hang() -> NoReturn:
    # Sleeps without the GIL: the lifeline's thread must be able to end a process that hangs.
    while True:
        time.sleep(3600)
