"""A tree that is described node by node: who aggregates whom, what is known of each, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from actorfl.errors import MissingKey, WrongType, WrongValue
from actorfl.naming import check_free
from actorfl.ranges import check_word
from actorfl.topology import Node, check_names
from actorfl.tree import Levelled

Labels = Mapping[str, str]

# What a task is told of a worker; whoever has more to say puts it in a file.
_MOST_LABELS = 64
_USUAL = {2: ("root", "worker"), 3: ("root", "edge", "worker")}


@dataclass(frozen=True)
class Member:
    """A worker of which something is known.

    Args:
        name: letters, digits, ``.``, ``_`` and ``-``.
        labels: what its task is told in ``who.labels``, beside the labels of its groups, of which
            the nearest holds; at most 64.
    """

    name: str
    labels: Labels = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Group:
    """An aggregator and what is below it: groups, or workers.

    Args:
        name: of the aggregator.
        below: the groups that it aggregates.
        workers: the workers that it aggregates, by name or as `Member`.
        labels: of all its workers.
        place: ``"level"`` shares a process with the other aggregators of its level; ``"own"`` has a
            process of its own, so that what kills it leaves its neighbours alone.
    """

    name: str
    below: tuple[Group, ...] = ()
    workers: tuple[str | Member, ...] = ()
    labels: Labels = field(default_factory=dict, hash=False)
    place: Literal["level", "own"] = "level"

    def __post_init__(self) -> None:
        _check(self, f"group {self.name!r}")
        check_word(self, "place", ("level", "own"), f"place of group {self.name!r}")


@dataclass(frozen=True)
class Nested(Levelled):
    """A tree by its nodes: ``Nested((Group("north", workers=("n0", "n1")), ...))``.

    All workers lie equally deep, so that each level may have a synchrony and an algorithm of its
    own. In TOML it is a table of its own, which may stand in another file::

        topology = "hospitals.toml"

    Args:
        below: the groups below the root.
        workers: the workers below the root, where there are no groups.
        called: names of the levels, outermost first; without it ``root``, ``edge``, ``worker``,
            which is enough for up to three.
        labels: of all workers.

    Raises:
        MissingKey: nobody is below a group, or the levels need names.
        WrongType: what is below is neither groups nor workers.
        WrongValue: a group has both, workers are not equally deep, names are not distinct names,
            another part of a run has one, or a bound is exceeded: 65,536 workers, 16 levels.
    """

    below: tuple[Group, ...] = ()
    workers: tuple[str | Member, ...] = ()
    called: tuple[str, ...] = ()
    labels: Labels = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check(self, "Nested")
        depths = {depth: name for name, depth in _depths(self, 1)}
        if len(depths) > 1:
            (shallow, one), (deep, other) = min(depths.items()), max(depths.items())
            raise WrongValue(
                "the workers of Nested",
                "equally deep, so that each level has a name",
                f"{one} {shallow} below the root and {other} {deep}",
            )
        (depth,) = depths
        called = self.called or _USUAL.get(depth + 1)
        if called is None:
            raise MissingKey("called", "Nested", f"(names of {depth + 1} levels, outermost first)")
        if len(called) != depth + 1:
            need = f"as many names as there are levels ({depth + 1})"
            raise WrongValue("called of Nested", need, len(called))
        object.__setattr__(self, "called", called)  # one spelling for one meaning
        self._check_nodes()
        check_names((*_groups(self), *self.names), "Nested", "the names of Nested")
        check_free(_groups(self), "a group of Nested", process=True)
        check_free(self.names, "a worker of Nested")
        self._check_distinct()

    @cached_property
    def levels(self) -> tuple[tuple[str, int], ...]:
        """Names of the levels and how many nodes each has, outermost first."""
        found: list[tuple[str, int]] = []
        nodes: tuple[Node, ...] = (self.root,)
        for level in self.called:
            found.append((level, len(nodes)))
            nodes = tuple(each for node in nodes for each in node.below)
        return tuple(found)

    @property
    def processes(self) -> tuple[str, ...]:
        """The groups that have a process of their own."""
        groups = list(self.below)
        for group in groups:
            groups += group.below
        return tuple(group.name for group in groups if group.place == "own")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the workers, in the order of their index."""
        return self.root.workers

    @cached_property
    def root(self) -> Node:
        """The root, with all that is below it."""
        return Node("aggregator", self.called[0], _nodes(self, self.called[1:]))

    def labels_of(self, worker: str) -> Labels:
        """What is said of a worker and of the groups around it; the nearest holds."""
        return self._labels[worker]

    @cached_property
    def _labels(self) -> dict[str, Labels]:
        return dict(_labelled(self, {}))


def _check(owner: Group | Nested, what: str) -> None:
    """Refuse what has nothing below it, or two kinds of things."""
    for key, kinds in (("below", Group), ("workers", (str, Member))):
        given = getattr(owner, key)
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise WrongType(f"{key} of {what}", "a list", given)
        values = tuple(given)
        for value in values:
            if not isinstance(value, kinds):
                need = "a Group" if kinds is Group else "a name or a Member"
                raise WrongType(f"what is in {key} of {what}", need, value)
        object.__setattr__(owner, key, values)
    if owner.below and owner.workers:
        raise WrongValue(what, "a group of groups or of workers", "both")
    if not owner.below and not owner.workers:
        raise MissingKey("workers", what, "(or `below`, its groups)")
    _check_labels(owner.labels, what)
    for worker in owner.workers:
        if isinstance(worker, Member):
            _check_labels(worker.labels, f"worker {worker.name!r}")


def _check_labels(labels: object, whose: str) -> None:
    text = isinstance(labels, Mapping) and all(
        isinstance(key, str) and isinstance(value, str) for key, value in labels.items()
    )
    if not text:
        raise WrongType(f"labels of {whose}", "a table of strings", labels)
    assert isinstance(labels, Mapping)
    if len(labels) > _MOST_LABELS:
        raise WrongValue(f"labels of {whose}", f"at most {_MOST_LABELS}", len(labels))


def _name(worker: str | Member) -> str:
    return worker if isinstance(worker, str) else worker.name


def _depths(group: Group | Nested, depth: int) -> Iterator[tuple[str, int]]:
    """A worker of each group, and how many steps below the root it is."""
    if group.workers:
        yield _name(group.workers[0]), depth
    for each in group.below:
        yield from _depths(each, depth + 1)


def _nodes(group: Group | Nested, called: tuple[str, ...]) -> tuple[Node, ...]:
    level, *inner = called
    if group.workers:
        return tuple(Node(_name(worker), level) for worker in group.workers)
    return tuple(
        Node(each.name, level, _nodes(each, tuple(inner)), own=each.place == "own")
        for each in group.below
    )


def _groups(group: Group | Nested) -> Iterator[str]:
    for each in group.below:
        yield each.name
        yield from _groups(each)


def _labelled(group: Group | Nested, around: Labels) -> Iterator[tuple[str, Labels]]:
    labels = {**around, **group.labels}
    for worker in group.workers:
        own = {} if isinstance(worker, str) else worker.labels
        yield _name(worker), {**labels, **own}
    for each in group.below:
        yield from _labelled(each, labels)
