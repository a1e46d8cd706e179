"""Which node of a simulation a callback belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
