"""Landing pools: the memory that received arrays are written into, few buffers kept warm.

The number of buffers bounds the memory of a receiver whatever the number of senders: a transfer
for which none is free waits before its first byte.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transports.weights import aligned_empty

if TYPE_CHECKING:
    from transports.memory import Lease, Memory


@dataclass(frozen=True, slots=True)
class LandingStatistics:
    """What a landing pool holds.

    Attributes:
        buffers: most buffers at a time.
        leased: buffers that a transfer or a view holds.
        free: warm buffers that wait for the next transfer.
        waiting: transfers that wait for a buffer.
        nbytes: bytes of all buffers, leased and free.
        landed: leases given so far.
        allocated: buffers made so far; far fewer than ``landed`` where reuse works.
    """

    buffers: int
    leased: int
    free: int
    waiting: int
    nbytes: int
    landed: int
    allocated: int


class LandingRequest:
    """A place in the queue for a buffer; ``withdraw()`` leaves it.

    Args:
        nbytes: bytes needed.
        give: called with a writable view of exactly ``nbytes`` bytes, 64-byte aligned. The buffer
            is free again when this view and all views made from it are gone.
    """

    __slots__ = ("_give", "nbytes")

    def __init__(self, nbytes: int, give: Callable[[memoryview], None]) -> None:
        self.nbytes = nbytes
        self._give: Callable[[memoryview], None] | None = give

    def withdraw(self) -> None:
        """Leave the queue; harmless when the buffer was given already."""
        self._give = None

    @property
    def withdrawn(self) -> bool:
        """Whether nobody waits behind this request any more."""
        return self._give is None

    def serve(self, buffer: memoryview) -> None:
        """Hand the buffer over."""
        give, self._give = self._give, None
        if give is not None:
            give(buffer)


class LandingPool:
    """At most ``buffers`` warm, 64-byte aligned buffers, lent to one transfer at a time.

    A buffer comes back by itself when the last view of it is gone, on whatever thread that happens.

    Args:
        buffers: most buffers at a time, >= 1.
        max_bytes: bytes of one transfer that this pool takes; larger ones are refused, so the pool
            never holds more than ``buffers * max_bytes``.
    """

    def __init__(self, buffers: int = 2, max_bytes: int = 1 << 34) -> None:
        if buffers < 1 or max_bytes < 1:
            raise ValueError(
                f"a landing pool of {buffers} buffers of {max_bytes} bytes lands nothing: "
                "both must be at least 1"
            )
        self.buffers = buffers
        self.max_bytes = max_bytes
        self._free: list[Memory] = []
        self._leases: dict[int, tuple[weakref.ref[Lease], Memory]] = {}
        # Filled by weak reference callbacks, which come on any thread: an append is atomic.
        self._returned: deque[int] = deque()
        self._waiting: deque[LandingRequest] = deque()
        self._wake: Callable[[], None] | None = None
        self._landed = 0
        self._allocated = 0

    def request(self, request: LandingRequest, wake: Callable[[], None]) -> None:
        """Ask for a buffer; it is given at once, or when one comes back, in order of asking.

        Args:
            request: how many bytes, at most ``max_bytes``, and who gets them.
            wake: called from any thread when a buffer came back; must see to it that ``serve`` is
                called on the thread that made the request.

        Raises:
            ValueError: more than ``max_bytes``.
        """
        if request.nbytes > self.max_bytes:
            raise ValueError(
                f"{request.nbytes} bytes exceed the {self.max_bytes} of this landing pool"
            )
        self._waiting.append(request)
        self._wake = wake
        # After the request is visible: a buffer that comes back in between is seen here or wakes.
        self.serve()

    def serve(self) -> None:
        """Give free buffers to those who wait."""
        while self._returned:
            self._free.append(self._leases.pop(self._returned.popleft())[1])
        waiting = self._waiting
        while waiting:
            if waiting[0].withdrawn:
                waiting.popleft()
                continue
            if len(self._leases) >= self.buffers:
                return
            request = waiting.popleft()
            request.serve(self._lease(request.nbytes))

    def _lease(self, nbytes: int) -> memoryview:
        from transports.memory import Lease, Memory  # and with it numpy, see transports.weights

        fitting = [i for i, memory in enumerate(self._free) if memory.nbytes >= nbytes]
        if fitting:
            memory = self._free.pop(min(fitting, key=lambda i: self._free[i].nbytes))
        else:
            if self._free and len(self._free) + len(self._leases) >= self.buffers:
                self._free.pop(0)
            memory = aligned_empty(nbytes).view(Memory)
            self._allocated += 1
        lease = memory.view(Lease)
        self._landed += 1
        number = self._landed

        def give_back(_: weakref.ref[Lease]) -> None:
            self._returned.append(number)
            if self._waiting and self._wake is not None:
                self._wake()

        self._leases[number] = (weakref.ref(lease, give_back), memory)
        return lease.data[:nbytes]

    def statistics(self) -> LandingStatistics:
        """What the pool holds now."""
        leased = len(self._leases) - len(self._returned)
        memories = [*self._free, *(memory for _, memory in self._leases.values())]
        return LandingStatistics(
            buffers=self.buffers,
            leased=leased,
            free=len(memories) - leased,
            waiting=sum(not request.withdrawn for request in self._waiting),
            nbytes=sum(memory.nbytes for memory in memories),
            landed=self._landed,
            allocated=self._allocated,
        )

    def __repr__(self) -> str:
        now = self.statistics()
        return (
            f"<LandingPool leased={now.leased}/{now.buffers} free={now.free} "
            f"waiting={now.waiting} bytes={now.nbytes}>"
        )
