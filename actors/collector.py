"""How often Python's cyclic garbage collector runs while a program of actors does."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

_DEFAULT: Final = ((700, 10, 10), (2_000, 10, 0), (2_000, 10, 10))
"""What interpreters start with; other thresholds are somebody's choice, which is left alone."""
_RARER: Final = (10_000, 10, 10)
"""With ten thousand actors half the time of an ask went to the collector, which by default looks
at young objects every 700 new ones, and at all there are every 70,000 while there come to be more.
At 10,000 it costs what cannot be told from none. Not more: what lies in cycles, with the arrays
that it refers to, waits for that many objects, which take a few MB themselves."""


@contextlib.contextmanager
def rarer() -> Iterator[None]:
    """Have the collector run rarely in this process, where nobody has set how often it does."""
    before = gc.get_threshold()
    if before not in _DEFAULT:
        yield
        return
    gc.set_threshold(*_RARER)
    try:
        yield
    finally:
        if gc.get_threshold() == _RARER:
            gc.set_threshold(*before)
