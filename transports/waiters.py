"""Those who wait until something holds, such as room on a lane."""

from __future__ import annotations

import asyncio


class Waiters:
    """Wakes all at once, in the order in which they came; who gives up is forgotten."""

    def __init__(self) -> None:
        #: Those who wait; what asks at every message asks this, which takes no call.
        self.futures: dict[asyncio.Future[None], None] = {}

    async def wait(self) -> None:
        """Wait for the next ``wake``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.futures[future] = None
        try:
            await future
        finally:
            self.futures.pop(future, None)

    def wake(self) -> None:
        """Wake all that wait now."""
        futures, self.futures = self.futures, {}
        for future in futures:
            if not future.done():
                future.set_result(None)

    def __len__(self) -> int:
        return len(self.futures)

    def __repr__(self) -> str:
        return f"<Waiters {len(self)}>"
