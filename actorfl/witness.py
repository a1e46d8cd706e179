"""What an aggregator does, for whoever must judge it; costs one look at a global otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "heard", "opened", "merged", "closed", "saved", "starts", "ends", "waits", "restored",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that an aggregator did, in its own order.

    Attributes:
        kind: ``heard`` of an incarnation of a worker, ``opened`` a clock with nothing in it,
            ``merged`` a part, ``closed`` a clock, made the next one durable (``saved``), let a
            worker start its clock (``starts``). Without a barrier also: a worker's clock has ended
            and is durable (``ends``), it was told to wait for slower ones (``waits``), an
            aggregator was restarted and a worker's next clock is this (``restored``).
        by: incarnation of the aggregator; grows with each restart.
        clock: the clock.
        worker: whose part, or who was heard of.
        incarnation: of the worker.
        workers: in what was closed.
        staleness: of a part that is merged: versions that the model has moved on by since that
            which the part was made from; always 0 under BSP.
        held: entries of the largest table when a clock was closed.
    """

    kind: Kind
    by: int
    clock: int
    worker: str = ""
    incarnation: int = 0
    workers: tuple[str, ...] = ()
    staleness: int = 0
    held: int = 0


_watcher: Callable[[Act], object] | None = None


def watched() -> bool:
    """Whether anybody judges this process."""
    return _watcher is not None


def witness(  # noqa: PLR0917  (called in a few places, once each)
    kind: Kind,
    by: int,
    clock: int,
    worker: str = "",
    incarnation: int = 0,
    workers: tuple[str, ...] = (),
    staleness: int = 0,
    held: int = 0,
) -> None:
    """Tell of an act; see ``Act``."""
    if _watcher is not None:
        _watcher(Act(kind, by, clock, worker, incarnation, workers, staleness, held))


@contextmanager
def witnessed_by(watcher: Callable[[Act], object]) -> Iterator[None]:
    """Within the block ``watcher`` is called with each act of any aggregator of this process."""
    global _watcher  # noqa: PLW0603  (one run at a time is judged)
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before
