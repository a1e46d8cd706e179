"""Who talks to whom."""

from __future__ import annotations

import functools
import re
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from actorfl.defined import Abstract, is_ours
from actorfl.errors import Misfit, MissingKey, WrongType, WrongValue
from actorfl.naming import check_free
from actorfl.ranges import check_count

# A mistyped count must be refused here, not fill the memory with actors first.
WORKERS_MAX = 65_536
#: Shards of one model: each is a process, and more of them than a machine has cores are of no use.
SHARDS_MAX = 64
# Names become parts of actor paths, file names and metrics.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Topology(Abstract):
    """Base of all topologies: frozen dataclasses whose fields can be written in TOML."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the workers, in the order of their index."""

    def labels_of(self, worker: str) -> Mapping[str, str]:
        """What is known of a worker, for its task; nothing, unless the topology says something."""
        del worker
        return {}


@dataclass(frozen=True)
class Node:
    """An aggregator of a tree, or a worker, which has nothing below it.

    Attributes:
        name: distinct in its tree.
        level: the name of its level.
        below: what it aggregates, in order.
        own: whether an aggregator below the root has a process of its own.
    """

    name: str
    level: str
    below: tuple[Node, ...] = ()
    own: bool = False

    @functools.cached_property
    def workers(self) -> tuple[str, ...]:
        """The workers below it, in order; a worker is its own."""
        if not self.below:
            return (self.name,)
        return tuple(name for node in self.below for name in node.workers)


class Centred(Topology):
    """A topology with one root, to which all updates come."""

    @property
    @abstractmethod
    def root(self) -> Node:
        """The root, with all that is below it."""


class Peers(Topology):
    """A topology without a centre: each worker is a node that talks to its neighbours.

    A subclass says ``names`` and ``neighbours``. What it says of no other thing, it has links that
    go both ways and are the same in every round. A directed one says ``senders``, too, one whose
    rounds differ ``targets`` and ``sources``; then ``symmetric`` or ``fixed`` is False.
    """

    @abstractmethod
    def neighbours(self, name: str) -> tuple[str, ...]:
        """Everyone whom a node may ever send to, in an order that means something in the topology.

        Args:
            name: of a node of the topology.
        """

    def senders(self, name: str) -> tuple[str, ...]:
        """Everyone whom a node may ever hear from: its neighbours, unless links are directed."""
        return self.neighbours(name)

    def targets(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002  (the field's word)
        """Whom a node sends to in a round: its neighbours, unless rounds differ.

        Args:
            name: of a node of the topology.
            round: from 0.
        """
        return self.neighbours(name)

    def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002  (as above)
        """Whom a node hears from in a round, from 0: its senders, unless rounds differ."""
        return self.senders(name)

    @property
    def symmetric(self) -> bool:
        """Whether each link goes both ways, in each round."""
        return True

    @property
    def fixed(self) -> bool:
        """Whether the links are the same in every round."""
        return True

    @property
    def phases(self) -> Sequence[int] | None:
        """A round of each graph that there ever is; None where they change without end."""
        return (0,) if self.fixed else None


@dataclass(frozen=True)
class Star(Centred):
    """One aggregator, and workers that talk to it alone.

    Args:
        workers: how many, 1 to 65,536; without it as many as `named` has names.
        named: their names, as many as there are workers; without it w0, w1, ...
        shards: in how many pieces the model lies, each in an actor of its own, to which workers
            send their slices of what goes up; 1 to 64, without it the aggregator holds it whole.

    Raises:
        MissingKey: neither is given.
        WrongType: a count that is no whole number, or names that are no tuple.
        WrongValue: a count out of range, names that are not distinct names, or one that a shard
            or another part of a run has, such as ``aggregator``.
    """

    workers: int | None = None
    named: tuple[str, ...] = ()
    shards: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", take_names("Star", self.named))
        if self.workers is None:
            if not self.named:
                raise MissingKey("workers", "Star", "(how many), or `named`, their names")
            # One spelling for one meaning: equal stars compare and hash equal.
            object.__setattr__(self, "workers", len(self.named))
        check_count(self, "workers", 1, WORKERS_MAX)
        assert self.workers is not None
        if self.shards is not None:
            check_count(self, "shards", 1, SHARDS_MAX)
            if self.shards == 1:  # it is the same, and so one spelling suffices
                object.__setattr__(self, "shards", None)
        if not self.named:
            return
        if len(self.named) != self.workers:
            need = f"as many names as there are workers ({self.workers}; leave that out)"
            raise WrongValue("named of Star", need, len(self.named))
        check_names(self.named, "named of Star")
        check_free(self.named, "a name in named of Star")
        for name in (*self.shard_names, *(["shards"] if self.shards else [])):
            if name in self.named:
                raise WrongValue("named of Star", "other names than those of its shards", name)

    @property
    def shard_names(self) -> tuple[str, ...]:
        """The names of the shards, in order; none where the aggregator holds the model."""
        return tuple(f"shard{index}" for index in range(self.shards or 0))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the workers, in the order of their index."""
        assert self.workers is not None
        return self.named or numbered(self.workers)

    @property
    def root(self) -> Node:
        """The aggregator, with all workers below it."""
        return Node("aggregator", "root", tuple(Node(name, "worker") for name in self.names))


def check_names(names: Iterable[str], where: str, what: str = "") -> None:
    """Refuse names that cannot stand in paths and files, or stand twice.

    Args:
        names: of workers or levels.
        where: for people: ``"named of Star"``.
        what: the same where it tells who must be distinct; as `where` unless given.

    Raises:
        WrongValue: with the first one that is wrong.
    """
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            need = "letters, digits, `.`, `_` and `-`, 64 at most, a letter or digit first"
            raise WrongValue(f"a name in {where}", need, name)
        if name in seen:
            raise WrongValue(what or where, "distinct", name)
        seen.add(name)


# Rounds that are looked at of a graph that changes without end.
_LOOKED_AT = 32


def looked_at(topology: Peers) -> Iterable[int]:
    """The rounds that are looked at where all would have to be: one of each graph, or the first."""
    phases = topology.phases
    return range(_LOOKED_AT) if phases is None else phases


class Same:
    """A topology as a key of a cache: equal to itself alone.

    To compare and hash a topology by its fields would take as long as it has edges, and one of the
    user's own may have fields that have no hash.

    Args:
        topology: what is looked up.
    """

    def __init__(self, topology: Peers) -> None:
        self.topology = topology

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.topology is self.topology

    def __hash__(self) -> int:
        return id(self.topology)


def check_own_wiring(topology: Peers) -> None:
    """As ``check_wiring``; nodes of ours agree, and a complete graph has a million links."""
    if not is_ours(type(topology)):
        check_wiring(topology)


def check_wiring(topology: Peers) -> None:
    """Refuse a topology of which not all nodes say the same about who hears whom.

    A node would wait for ever for one that knows nothing of it.

    Raises:
        Misfit: one node has another as a neighbour that does not hear it.
        WrongType: what is no tuple of names.
        WrongValue: names that cannot be, or stand twice, and neighbours that are no other node.
    """
    whose = type(topology).__name__
    names = _listed(topology.names, f"the names of {whose}")
    check_names(names, f"the names of {whose}")
    known = frozenset(names)
    near = {
        name: _near(topology.neighbours(name), name, known, "neighbour", whose) for name in names
    }
    heard = {name: _near(topology.senders(name), name, known, "sender", whose) for name in names}
    for one in names:
        for other in near[one]:
            if one in heard[other]:
                continue
            what, instead = "sender", f"take {other} from the neighbours of {one}"
            if topology.symmetric:
                what, instead = "neighbour", "say `senders`, and that `symmetric` is False"
            raise Misfit(
                f"in {whose} {one} has the neighbour {other}, and {other} has no {what} {one}; "
                f"give it that, or {instead}"
            )
    for number in looked_at(topology):
        sent = {(one, to) for one in names for to in topology.targets(one, number)}
        taken = {(of, one) for one in names for of in topology.sources(one, number)}
        for one, other in sorted(sent ^ taken):
            what = "among the `sources`" if (one, other) in taken else "not among the `sources`"
            raise Misfit(
                f"in round {number} of {whose} {one} is {what} of {other}, and its `targets` say "
                "otherwise; let both say who sends to whom"
            )


def _near(
    found: object, name: str, known: Collection[str], what: str, whose: str
) -> dict[str, None]:
    near = dict.fromkeys(_listed(found, f"the {what}s of {name} in {whose}"))
    for each in near:
        if each == name or each not in known:
            need = "another node" if each == name else "a node of it"
            raise WrongValue(f"a {what} of {name} in {whose}", need, each)
    return near


def _listed(found: object, what: str) -> tuple[str, ...]:
    if not isinstance(found, tuple | list):
        raise WrongType(what, "a tuple of names", found)
    seen: dict[str, None] = {}
    for name in found:
        if not isinstance(name, str):
            raise WrongType(what, "a tuple of names", name)
        if name in seen:
            raise WrongValue(what, "distinct", name)
        seen[name] = None
    return tuple(seen)


def take_names(whose: str, named: object) -> tuple[str, ...]:
    """What was given as `named`, as a tuple.

    Args:
        whose: for people: ``"Star"``.
        named: any iterable of names but a string, whose letters nobody means.

    Raises:
        WrongType: it is none.
    """
    what, need = f"named of {whose}", "a tuple of names"
    if isinstance(named, str | bytes) or not isinstance(named, Iterable):
        raise WrongType(what, need, named)
    try:
        return tuple(named)
    except TypeError:  # an array without dimension says that it can be gone through
        raise WrongType(what, need, named) from None


@functools.lru_cache(maxsize=4)  # each worker of a process asks, and a run has one number of them
def numbered(count: int) -> tuple[str, ...]:
    """The names w0, w1, ... of so many workers."""
    return tuple(f"w{index}" for index in range(count))
