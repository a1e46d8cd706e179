"""What was factored of the nodes in a process, kept for their next iterations."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Final, TypeAlias

from actorfl.esn.admm import Factored
from actorfl.terms import Array

#: Bytes that a process keeps: a node with states of 301 values takes 0.7 MB, of 1,001 values 8 MB.
KEPT_MAX: Final = 2**28

_Key: TypeAlias = tuple[int, float]


class Factors:
    """Keeps what was factored of a node's data as long as the node keeps these.

    What there is no room for is factored again each time, as after a restart, to the same bits. It
    does not take the place of another node's: nodes come one after the other again and again, so
    what was used longest ago is what is needed next.

    Args:
        most: bytes that are kept.

    Attributes:
        nbytes: that are kept now.
    """

    def __init__(self, most: int) -> None:
        self.nbytes = 0
        self._most = most
        self._kept: dict[_Key, tuple[weakref.ref[Array], Factored]] = {}

    def of(self, data: Array, rho: float, factor: Callable[[], Factored]) -> Factored:
        """What was factored of data, or else is now.

        Args:
            data: the array itself, which nobody writes to, as in all states of nodes.
            rho: weight of agreement.
            factor: of these two.
        """
        key = id(data), rho
        kept = self._kept.get(key)
        if kept is not None:
            return kept[1]
        made = factor()
        if self.nbytes + made.nbytes <= self._most:
            # It is called before another array can have this id.
            gone = functools.partial(self._forget, key)
            self._kept[key] = weakref.ref(data, gone), made
            self.nbytes += made.nbytes
        return made

    def _forget(self, key: _Key, _: weakref.ref[Array]) -> None:
        _, factored = self._kept.pop(key)
        self.nbytes -= factored.nbytes
