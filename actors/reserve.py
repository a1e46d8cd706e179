"""Keeps processes in reserve, loaded and nameless, so that a dead one is replaced at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from actors.errors import NodeStartFailed
from actors.events import SpareDied, SpareReady
from actors.spare import Spare
from actors.spawner import ProcessSpec
from actors.supervision import Backoff
from actors.system import ActorSystem

_log = logging.getLogger("actors.processes")

SETTLE: Final = 2.0
"""Seconds after a start before a spare is started: a process that has just come up makes its actors
now, and a spare that loads beside it would take the processor from those who are waited for."""

LOAD_LIMIT: Final = 120.0
"""Seconds for a spare to load. Importing torch on a loaded machine has taken 20."""

TRIES: Final = 5
"""Spares that die one after the other, before no more are started: something is wrong with what
they load, and the processes themselves have the same trouble or do without."""

HEALTHY: Final = 60.0
"""Seconds in reserve after which the deaths of earlier spares do not count any more."""

_BACKOFF: Final = Backoff(initial=1.0, maximum=30.0)
_LINES: Final = 40


class Reserve:
    """Spares of one launcher; each is replaced when it was taken or has died.

    Args:
        system: the launcher's.
        spec: how a spare is started.
        count: spares kept.
        preload: modules that they import ahead.
        busy: whether a process is starting, which a spare would hold up.
    """

    def __init__(
        self,
        system: ActorSystem,
        spec: ProcessSpec,
        count: int,
        preload: Sequence[str],
        busy: Callable[[], bool],
    ) -> None:
        self._system = system
        self._spec = spec
        self._preload = tuple(preload)
        self._busy = busy
        #: Spares that may be taken, and what tells their keeper: True for taken, False for useless.
        self._ready: dict[Spare, asyncio.Future[bool]] = {}
        loop = asyncio.get_running_loop()
        self._keepers = [
            loop.create_task(self._keep(), name=f"spare {index}") for index in range(count)
        ]

    @property
    def ready(self) -> int:
        """Spares that are loaded."""
        return len(self._ready)

    def take(self, spec: ProcessSpec) -> Spare | None:
        """A spare that runs in the surroundings of this process, if there is one."""
        for spare, taken in tuple(self._ready.items()):
            fits = spare.fits(spec)
            if fits or not spare.fits(self._spec):
                # One that would be started otherwise today (this process's environment or
                # ``sys.path`` has changed) fits nobody any more.
                del self._ready[spare]
                taken.set_result(fits)
            if fits:
                return spare
        return None

    async def _keep(self) -> None:
        clock = self._system.world.clock
        deaths = 0
        while True:
            pause = _BACKOFF.delay(deaths - 1, self._system.world.rng.uniform(0, 1))
            await clock.sleep(SETTLE + (pause if deaths else 0.0))
            while self._busy():
                await clock.sleep(SETTLE)
            began = clock.now()
            died = await self._keep_one()
            if died is None:
                deaths = 0
                continue
            deaths = 1 if clock.now() - began >= HEALTHY else deaths + 1
            pid, reason, lines = died
            self._system.events.publish(
                SpareDied(pid=pid, reason=reason, lines=lines, given_up=deaths >= TRIES)
            )
            if deaths >= TRIES:
                _log.warning(
                    "%d spare processes died one after the other; no more are started: %s",
                    deaths, reason,
                )  # fmt: skip
                return

    async def _keep_one(self) -> tuple[int | None, str, list[str]] | None:
        """Start one and keep it; None once it was taken, else how it ended."""
        try:
            spare = await self._system.world.spawner.reserve(self._spec, self._preload)
        except NodeStartFailed as error:
            return None, str(error), []
        except Exception as error:  # noqa: BLE001  (nobody awaits a keeper: it would end in silence)
            _log.exception("a spare process could not be started")
            return None, f"{type(error).__name__}: {error}", []
        loop = asyncio.get_running_loop()
        ended = loop.create_task(spare.wait(), name=f"spare {spare.pid} ends")
        loaded = loop.create_task(spare.loaded.wait(), name=f"spare {spare.pid} loads")
        taken: asyncio.Future[bool] = loop.create_future()
        late = False
        try:
            first: set[asyncio.Future[Any]] = {ended, loaded}
            await asyncio.wait(first, timeout=LOAD_LIMIT, return_when=asyncio.FIRST_COMPLETED)
            if loaded.done() and not ended.done():
                self._ready[spare] = taken
                self._system.events.publish(SpareReady(pid=spare.pid))
                second: set[asyncio.Future[Any]] = {ended, taken}
                await asyncio.wait(second, return_when=asyncio.FIRST_COMPLETED)
            late = not ended.done() and not taken.done()
            if taken.done() and taken.result():
                return None
            spare.kill()
            how = await ended
        finally:
            self._ready.pop(spare, None)
            ended.cancel()
            loaded.cancel()
            if not taken.done():
                spare.kill()
        if taken.done():
            return None
        reason = f"it had not loaded within {LOAD_LIMIT:g} s" if late else how.describe()
        return spare.pid, reason, spare.last_lines(_LINES)

    async def close(self) -> None:
        """Kill the spares and start no more; whose end is awaited by the spawner."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def __repr__(self) -> str:
        kept = sum(1 for keeper in self._keepers if not keeper.done())
        return f"<Reserve {self.ready}/{kept} loaded>"
