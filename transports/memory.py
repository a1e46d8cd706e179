"""What a landing pool lends, as numpy sees it."""

from __future__ import annotations

import numpy as np


class Memory(np.ndarray[tuple[int], np.dtype[np.uint8]]):
    """A buffer.

    Two subclasses, because numpy lets a view of a view skip to the lowest array of its own type: a
    plain array made from a lease would hold the buffer and not the lease.
    """


class Lease(np.ndarray[tuple[int], np.dtype[np.uint8]]):
    """The object whose end means that no view of a buffer is left."""
