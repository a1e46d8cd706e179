"""Writes that are refused, or torn by a crash, as a plan says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from actors.errors import StorageError
from actors.faults.kinds import NO_MOMENTS, Full, Torn
from actors.faults.moment import Moments
from actors.faults.plan import FaultPlan, keyed
from actors.storage import Storage, Unwanted
from transports import Clock, Rng, SeededRng

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BITS: Final = 53


class DiskFaults:
    """Decides about each write of one node.

    Args:
        plan: what happens.
        node: its name.
        generation: its start; each has draws of its own.
        clock: of the node.
        began: when the launcher started, by that clock.
        counts: how often each kind took effect.
        moments: those of the plan that have come.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        plan: FaultPlan,
        node: str,
        generation: int,
        clock: Clock,
        began: float,
        counts: Counter[str],
        *,
        moments: Moments = NO_MOMENTS,
    ) -> None:
        self._moments = moments
        self._until = plan.until
        self._clock = clock
        self._began = began
        self._counts = counts
        rng = SeededRng(plan.seed).derive("disk", node, generation)
        faults: tuple[Full | Torn, ...] = (*plan.of(Full), *plan.of(Torn))
        self._rules: list[tuple[Full | Torn, Rng]] = [
            (fault, rng.derive(key))
            for fault, key in keyed(faults)
            if fnmatchcase(node, fault.node)
        ]

    def refuses(self) -> bool:
        """Whether a write finds no space; counted."""
        return self._drawn(Full) is not None

    def tears(self, size: int) -> int | None:
        """How many bytes a write of so many leaves that a crash interrupts; None for all or none.

        Counted where it is not None.
        """
        part = self._drawn(Torn)
        return None if part is None else int(part * size)

    def _drawn(self, kind: type[Full | Torn]) -> float | None:
        """Which part of the write is done, from 0 to below 1, where a fault takes effect."""
        now = self._clock.now() - self._began
        taken = None
        for fault, rng in self._rules:
            if isinstance(fault, kind):
                # Each time both, so that what one fault does moves no draw of another.
                drawn, part = (rng.bits(_BITS) / (1 << _BITS) for _ in range(2))
                if (
                    taken is None
                    and fault.holds(now, self._until, self._moments)
                    and drawn < fault.p
                ):
                    taken = part
        if taken is not None:
            self._counts["full" if kind is Full else "torn"] += 1
        return taken

    def __repr__(self) -> str:
        return f"<DiskFaults {len(self._rules)} rules>"


class FaultyStorage:
    """A real storage some of whose writes find no space.

    Args:
        storage: where everything goes.
        faults: decides about each write.
    """

    def __init__(self, storage: Storage, faults: DiskFaults) -> None:
        self._storage = storage
        self._faults = faults

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        return await self._storage.read(name, limit=limit)

    async def write(self, name: str, parts: Iterable[ReadableBuffer]) -> None:
        """See `Storage.write`."""
        self._refuse_if_full("write", name)
        await self._storage.write(name, parts)

    async def append(self, name: str, data: ReadableBuffer, at: int) -> None:
        """See `Storage.append`."""
        self._refuse_if_full("append to", name)
        await self._storage.append(name, data, at)

    async def claim(self, name: str) -> None:
        """See `Storage.claim`."""
        await self._storage.claim(name)

    async def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        return await self._storage.size(name)

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """See `Storage.list`."""
        return await self._storage.list(prefix)

    async def remove(self, name: str) -> None:
        """See `Storage.remove`."""
        await self._storage.remove(name)

    async def tidy(self, prefix: str, unwanted: Unwanted) -> int:
        """See `Storage.tidy`."""
        return await self._storage.tidy(prefix, unwanted)

    async def close(self) -> None:
        """See `Storage.close`."""
        await self._storage.close()

    def _refuse_if_full(self, verb: str, name: str) -> None:
        if self._faults.refuses():
            raise StorageError(f"cannot {verb} {name}: no space left on device")

    def __repr__(self) -> str:
        return f"<FaultyStorage over {self._storage!r}>"
