"""Processes whose kill does not reach them, as if their machine were cut off for a while."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from actors import Exit, PopenSpawner, ProcessSpec
from actors.spare import Spare
from actors.spawner import Child


class Withheld:
    """A child whose kill does not reach it, though it looks as if it had."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.name, self.pid = child.name, child.pid
        self._killed: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        return self.child.alive and not self._killed.done()

    async def wait(self) -> Exit:
        real = asyncio.ensure_future(self.child.wait())
        await asyncio.wait({real, self._killed}, return_when=asyncio.FIRST_COMPLETED)
        if self._killed.done():
            real.cancel()
            return self._killed.result()
        return real.result()

    def kill(self) -> None:
        if not self._killed.done():
            self._killed.set_result(Exit(signal=signal.SIGKILL))

    def terminate(self) -> None:
        self.child.terminate()

    def freeze(self) -> bool:
        return self.child.freeze()

    def thaw(self) -> bool:
        return self.child.thaw()

    def slow(self, factor: float) -> bool:
        return self.child.slow(factor)

    def last_lines(self, n: int = 20) -> list[str]:
        return self.child.last_lines(n)


class Withholding:
    """A spawner of which that node's first process cannot be killed until the end."""

    def __init__(self, node: str) -> None:
        self._real = PopenSpawner()
        self._node = node
        self.starts = 0
        #: The process that cannot be killed.
        self.ghost: Child | None = None

    async def spawn(self, spec: ProcessSpec) -> Child:
        child = await self._real.spawn(spec)
        if spec.name != self._node:
            return child
        self.starts += 1
        if self.starts > 1:
            return child
        self.ghost = child
        return Withheld(child)

    async def reserve(self, spec: ProcessSpec, preload: Sequence[str] = ()) -> Spare:
        return await self._real.reserve(spec, preload)

    async def close(self) -> None:
        await self._real.close()
