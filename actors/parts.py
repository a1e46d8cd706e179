"""The parts of a cell that most actors never use: each is made when it is first used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from actors.actor import Actor
from actors.errors import SpawnFailed
from actors.handlers import handlers_of
from actors.handling import Handling
from actors.offspring import Offspring
from actors.patience import Patience
from actors.piping import Pipes
from actors.stash import Stash
from actors.timers import Timers
from actors.watching import Watching

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.system import ActorSystem


class Parts:
    """What a cell consists of.

    Ten thousand idle actors cost their node what each of them holds, in memory and in what the
    garbage collector walks over again and again.
    """

    __slots__ = (
        "_children", "_first_start", "_handling", "_patience", "_pipes", "_started",
        "_stash", "_stopped", "_timers", "_watching", "actor", "cls", "gone", "handlers",
        "path", "system",
    )  # fmt: skip

    def __init__(self, system: ActorSystem, path: str, cls: type[Actor]) -> None:
        self.system = system
        self.path = path
        self.cls = cls
        self.handlers = handlers_of(cls)
        self.actor: Actor | None = None
        #: Why it is gone, once it is.
        self.gone: str | None = None
        #: What came of its first start: nothing yet, True, or why there was none.
        self._first_start: bool | SpawnFailed = False
        self._started: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[str] | None = None
        self._handling: Handling | None = None
        self._timers: Timers | None = None
        self._stash: Stash | None = None
        self._patience: Patience | None = None
        self._children: Offspring | None = None
        self._watching: Watching | None = None
        self._pipes: Pipes | None = None

    @property
    def _cell(self) -> Cell:
        return cast("Cell", self)

    @property
    def handling(self) -> Handling:
        """What handles its messages."""
        if self._handling is None:
            self._handling = Handling(self._cell, self.handlers)
        return self._handling

    @property
    def timers(self) -> Timers:
        """See ``Actor.timers``."""
        if self._timers is None:
            cell, clock = self._cell, self.system.world.clock
            at_once = self.system.prepared is not None
            self._timers = Timers(clock, cell.deliver, cell.handle_now if at_once else None)
        return self._timers

    @property
    def pipes(self) -> Pipes:
        """What it awaits beside its mailbox."""
        if self._pipes is None:
            self._pipes = Pipes(self.path, self._cell.deliver, self._cell.work_failed)
        return self._pipes

    @property
    def children(self) -> Offspring:
        """Its living children."""
        if self._children is None:
            self._children = Offspring(self.system)
        return self._children

    @property
    def watching(self) -> Watching:
        """Whom it watches."""
        if self._watching is None:
            self._watching = Watching()
        return self._watching

    @property
    def patience(self) -> Patience:
        """With what it is at, once it is to stop."""
        if self._patience is None:
            self._patience = Patience(self._cell)
        return self._patience

    @property
    def stash(self) -> Stash:
        """See ``Actor.stash``."""
        if self._stash is None:
            self._stash = Stash(self._cell, (self.actor or self.cls).stash_capacity)
        return self._stash

    def take_stash(self) -> list[Any]:
        """What was put aside, in order; the next instance gets a stash of its own."""
        stash, self._stash = self._stash, None
        return [] if stash is None else stash.take()

    def is_parent_of(self, uid: int) -> bool:
        """Whether that is one of its living children."""
        return self._children is not None and uid in self._children

    @property
    def has_children(self) -> bool:
        """Whether any of its children lives."""
        return bool(self._children)

    @property
    def watches(self) -> bool:
        """Whether it watches anybody, or did."""
        return self._watching is not None

    @property
    def started(self) -> asyncio.Future[None]:
        """Resolved by its first start, or by what prevents it.

        Raises:
            SpawnFailed: what its constructor or ``on_start`` raised, or that it was stopped before.
        """
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._started.add_done_callback(_retrieved)
            self._resolve_started()
        return self._started

    @property
    def has_started(self) -> bool:
        """Whether it has ever started."""
        return self._first_start is True

    def first_start(self, outcome: bool | SpawnFailed) -> None:
        """What came of its first start; nothing where that is known."""
        if self._first_start is False:
            self._first_start = outcome
            self._resolve_started()

    def _resolve_started(self) -> None:
        if self._started is not None and not self._started.done():
            if isinstance(self._first_start, SpawnFailed):
                self._started.set_exception(self._first_start)
            elif self._first_start:
                self._started.set_result(None)

    @property
    def stopped(self) -> asyncio.Future[str]:
        """Resolved when it is gone, with the reason."""
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_future()
            self.resolve_stopped()
        return self._stopped

    def resolve_stopped(self) -> None:
        """Whoever waits until it is gone learns it, if it is."""
        if self._stopped is not None and self.gone is not None and not self._stopped.done():
            self._stopped.set_result(self.gone)


def _retrieved(future: asyncio.Future[None]) -> None:
    """Nobody may be waiting for a start that failed; the failure is an event anyway."""
    if not future.cancelled():
        future.exception()
