"""Aggregators of aggregators."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from actorfl.errors import MissingKey, WrongType, WrongValue
from actorfl.naming import check_free
from actorfl.topology import WORKERS_MAX, Centred, Node, check_names, numbered, take_names

# Each level costs a way there and back in every round; nobody has so many.
_MOST_LEVELS = 16


class Levelled(Centred):
    """Base of trees: levels with names, and as many nodes on each as there are in all."""

    @property
    @abstractmethod
    def levels(self) -> tuple[tuple[str, int], ...]:
        """Names and numbers, outermost first; the last are the workers."""

    def _check_nodes(self) -> None:
        """Refuse names of levels and nodes that cannot be, or cannot be told apart."""
        whose = type(self).__name__
        if not 2 <= len(self.levels) <= _MOST_LEVELS:
            raise WrongValue(f"levels of {whose}", f"from 2 to {_MOST_LEVELS}", len(self.levels))
        check_names((name for name, _ in self.levels), f"levels of {whose}")
        # What a level between them is called, its supervisor and process are called, too.
        between = f"a level between the root and the workers of {whose}"
        check_free((name for name, _ in self.levels[1:-1]), between, process=True)
        above = 1
        for place, (name, count) in enumerate(self.levels):
            what = f"level `{name}` of {whose}"
            if isinstance(count, bool) or not isinstance(count, int):
                raise WrongType(what, "an int", count)
            if place == 0 and count != 1:
                raise WrongValue(what, "1, as there is one root", count)
            if not above <= count <= WORKERS_MAX:
                raise WrongValue(what, f"from {above}, those above it, to {WORKERS_MAX}", count)
            above = count

    def _check_distinct(self) -> None:
        """Refuse a tree in which two nodes have one name: one name, one actor or supervisor."""
        # w0 is a worker, unless a level is called w.
        taken = {name for name, _ in self.levels[1:-1]}
        for name in (*_all(self.root), *self.names):
            if name in taken:
                what = f"what the levels and workers of {type(self).__name__} are called"
                raise WrongValue(what, "such that no two nodes have one name", name)
            taken.add(name)


@dataclass(frozen=True, init=False)
class Tree(Levelled):
    """Levels of aggregators above the workers: ``Tree(root=1, edge=4, worker=8)``.

    Levels have names, outermost first, and the numbers are totals: here 4 edge aggregators below
    one root, and 8 workers below the 4, two each. What is below a level is dealt out in order, in
    shares that differ by at most one. An aggregator adds up what comes from below and sends the sum
    on, so the model has the bits of a star, whatever the shape.

    Args:
        levels: names and numbers, for levels whose names are no words of Python; in TOML
            ``levels = [["root", 1], ["edge", 4], ["worker", 8]]``. Else give them by name.
        named: names of the workers; without it w0, w1, ... The aggregators of a level are named
            edge0, edge1, ...
        counts: the levels by name.

    Raises:
        MissingKey: there are no levels.
        WrongType: a number is none.
        WrongValue: the first level has not 1, a level has fewer than the one above it, a number is
            above 65,536, names are not distinct or another part of a run has one, such as
            ``evaluator``, or there are more than 16 levels.
    """

    levels: tuple[tuple[str, int], ...] = ()
    named: tuple[str, ...] = ()

    def __init__(
        self,
        levels: Iterable[Sequence[str | int]] | None = None,
        *,
        named: Iterable[str] = (),
        **counts: int,
    ) -> None:
        if (levels is None) == (not counts):
            raise MissingKey("levels", "Tree", "(such as root=1, edge=4, worker=8)")
        if levels is not None and not isinstance(levels, Iterable):
            raise WrongType("levels of Tree", "pairs of a name and a number", levels)
        given = counts.items() if levels is None else [_pair(each) for each in levels]
        object.__setattr__(self, "levels", tuple((name, count) for name, count in given))
        object.__setattr__(self, "named", take_names("Tree", named))
        self._check()

    def _check(self) -> None:
        self._check_nodes()
        if self.named:
            workers = self.levels[-1][1]
            if len(self.named) != workers:
                raise WrongValue(
                    "named of Tree",
                    f"as many names as there are workers ({workers})",
                    len(self.named),
                )
            check_names(self.named, "named of Tree")
            check_free(self.named, "a name in named of Tree")
        self._check_distinct()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the workers, in the order of their index."""
        return self.named or numbered(self.levels[-1][1])

    @cached_property
    def root(self) -> Node:
        """The root, with all that is below it."""
        level, _ = self.levels[-1]
        nodes = [Node(name, level) for name in self.names]
        for level, count in reversed(self.levels[1:-1]):
            below = _dealt(nodes, count)
            nodes = [Node(f"{level}{i}", level, each) for i, each in enumerate(below)]
        return Node("aggregator", self.levels[0][0], tuple(nodes))


def _pair(level: Sequence[str | int]) -> tuple[str, int]:
    try:
        name, count = level
    except (TypeError, ValueError):
        raise WrongType("a level of Tree", "a name and a number", level) from None
    return cast("tuple[str, int]", (name, count))  # checked with all others


def _dealt(nodes: Sequence[Node], hands: int) -> list[tuple[Node, ...]]:
    """In order, in shares that differ by at most one."""
    ends = [len(nodes) * (hand + 1) // hands for hand in range(hands)]
    return [tuple(nodes[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


def _all(node: Node) -> Iterable[str]:
    """Names of all aggregators, from the root down."""
    if node.below:
        yield node.name
        for each in node.below:
            yield from _all(each)
