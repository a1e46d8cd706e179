"""Which node of a simulation a callback belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar

OWNER: ContextVar[str | None] = ContextVar("transports_sim_owner", default=None)
"""Name of the node that runs; asyncio passes it on to tasks, callbacks and timers made there."""


@contextmanager
def owned(name: str | None) -> Iterator[None]:
    """What is started in this block belongs to a node (None: to the simulation itself)."""
    token = OWNER.set(name)
    try:
        yield
    finally:
        OWNER.reset(token)


def owner_of(handle: asyncio.Handle) -> str | None:
    """The node that a callback or a timer belongs to."""
    context: Context = handle._context  # type: ignore[attr-defined]  # noqa: SLF001  # public since 3.12
    return context.get(OWNER)
