"""Results of pure functions, kept by the hash of what went in, for runs that are repeated often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from actorfl.errors import ActorflError
from actorfl.hashing import hash_of

T = TypeVar("T")

CHECKED: Final = 100
"""Of so many results that are taken from the memo one is computed again, and compared."""

_MOST: Final = 10_000
"""Results that are kept: the few hundred of a short run, under faults that change what goes in."""


class Impure(ActorflError):  # noqa: N818  (it is what was found)
    """What was taken for a pure function gave other bits for the same input."""


@dataclass(frozen=True)
class MemoStatistics:
    """What a memo did.

    Attributes:
        kept: results in it.
        computed: results that were not in it.
        taken: results that were.
        checked: of these, computed again and found the same.
    """

    kept: int
    computed: int
    taken: int
    checked: int


class Memo:
    """Keeps what fits and evaluations of one run gave.

    Args:
        checked: every so many results that are taken, one is computed again; at least 1.
    """

    def __init__(self, checked: int = CHECKED) -> None:
        self._every = checked
        self._kept: OrderedDict[bytes, tuple[Any, bytes]] = OrderedDict()
        self._computed = self._taken = self._checked = 0

    def recalled(self, name: str, compute: Callable[[], T], *inputs: object) -> T:
        """What ``compute`` returns, perhaps from an earlier call with the same inputs.

        Raises:
            Impure: it was computed again, and is another.
        """
        key = hash_of(name, *inputs)
        found = self._kept.get(key)
        if found is None:
            self._computed += 1
            result = compute()
            self._kept[key] = (result, hash_of(result))
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
            return result
        self._kept.move_to_end(key)
        self._taken += 1
        result, digest = found
        if self._taken % self._every == 0:
            self._checked += 1
            if hash_of(compute()) != digest:
                raise Impure(
                    f"{name} gave other bits for the same input: it draws from something that is "
                    "not seeded, or keeps something between two calls"
                )
        # Whoever changes what he was given would change it for all.
        if hash_of(result) != digest:
            raise Impure(f"what {name} gave was changed in place by whoever was given it")
        kept: T = result
        return kept

    def statistics(self) -> MemoStatistics:
        """Tell what it did so far."""
        return MemoStatistics(len(self._kept), self._computed, self._taken, self._checked)

    def __repr__(self) -> str:
        return f"<Memo {self.statistics()}>"


_memo: Memo | None = None


@contextmanager
def memoised(memo: Memo) -> Iterator[Memo]:
    """Within the block ``recalled`` goes through this memo."""
    global _memo  # noqa: PLW0603  (the training lane of a process is one)
    before, _memo = _memo, memo
    try:
        yield memo
    finally:
        _memo = before


def recalled(name: str, compute: Callable[[], T], *inputs: object) -> T:
    """What a pure function gives; computed, unless there is a memo that knows it.

    Args:
        name: of the function.
        compute: calls it.
        *inputs: all that decides its result within one run.
    """
    return compute() if _memo is None else _memo.recalled(name, compute, *inputs)


def active() -> bool:
    """Whether there is a memo."""
    return _memo is not None
