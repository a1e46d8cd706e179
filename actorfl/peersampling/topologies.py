"""Topologies whose nodes learn of each other by peer sampling."""

from __future__ import annotations

import functools
import random
import re
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from actorfl.graphs.base import Graph
from actorfl.naming import check_free
from actorfl.peersampling.descriptor import VIEW_MAX
from actorfl.peersampling.protocols import (
    CyclonProtocol,
    NewscastProtocol,
    SamplingProtocol,
    UniformProtocol,
)
from actorfl.ranges import check_count, check_number
from actorfl.seeds import seed_for

#: Names of the other actors of such a run, beside those of any graph.
_TAKEN: Final = re.compile(r"membership|samplers|sampler[0-9]+")


@dataclass(frozen=True)
class Sampled(Graph):
    """Base of the topologies of peer sampling: any node may come to talk to any other.

    Nobody is wired to all others: a node knows its contacts, and meets the others by them.

    Args:
        nodes: how many, 1 to 65,536; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...
        view: nodes that each one knows, at most; 1 to 256.
        period: seconds between two exchanges of a node, above 0; None: as many as between two
            sends. A view takes some kilobytes, which is much beside a part of a small model.

    Raises:
        MissingKey: neither `nodes` nor `named` is given.
        WrongType: a field is of another type.
        WrongValue: a field is out of range, or names are no distinct names or taken.
    """

    view: int = 20
    period: float | None = None

    fewest: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "view", 1, VIEW_MAX)
        if self.period is not None:
            check_number(self, "period", "seconds above 0", lambda x: x > 0)
        check_free(self.named, f"a name in named of {type(self).__name__}", taken=_TAKEN)

    def beside(self, place: int) -> Iterable[int]:
        """The places of everybody else."""
        return self.others(place)

    @property
    def fixed(self) -> bool:
        """Nobody knows beforehand who talks to whom."""
        return False

    @property
    @abstractmethod
    def protocol(self) -> SamplingProtocol:
        """What the samplers follow."""

    def contacts(self, name: str, seed: int) -> tuple[str, ...]:
        """Whom a node knows at first: drawn, as many as a view holds, or all where there are fewer.

        Args:
            name: of the node.
            seed: of the run.
        """
        draw = random.Random(seed_for(seed, name, 0, "contacts"))
        names = self.names
        others = min(self.protocol.view, len(names) - 1)
        # One more than wanted: the node itself may be among them.
        drawn = draw.sample(range(len(names)), others + 1)
        return tuple(names[k] for k in drawn if names[k] != name)[:others]


@dataclass(frozen=True)
class Newscast(Sampled):
    """Nodes that know the freshest they have heard of; see ``NewscastProtocol``.

    Args:
        nodes: how many, 1 to 65,536; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...
        view: nodes that each one knows, at most; 1 to 256.
        period: seconds between two exchanges of a node, above 0; None: as many as between two
            sends.

    Raises:
        MissingKey: neither `nodes` nor `named` is given.
        WrongType: a field is of another type.
        WrongValue: a field is out of range, or names are no distinct names or taken.
    """

    @functools.cached_property
    def protocol(self) -> SamplingProtocol:
        """What the samplers follow."""
        return NewscastProtocol(self.view)


@dataclass(frozen=True)
class Cyclon(Sampled):
    """Nodes that swap whom they know, each known by about as many; see ``CyclonProtocol``.

    Args:
        nodes: how many, 1 to 65,536; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...
        view: nodes that each one knows, at most; 1 to 256.
        period: seconds between two exchanges of a node, above 0; None: as many as between two
            sends.
        shuffle: how many are swapped at a time; 1 to ``view``.

    Raises:
        MissingKey: neither `nodes` nor `named` is given.
        WrongType: a field is of another type.
        WrongValue: a field is out of range, or names are no distinct names or taken.
    """

    shuffle: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "shuffle", 1, self.view)

    @functools.cached_property
    def protocol(self) -> SamplingProtocol:
        """What the samplers follow."""
        return CyclonProtocol(self.view, self.shuffle)


@dataclass(frozen=True)
class UniformPeers(Sampled):
    """Nodes that are told a new sample of all in each period, by a membership that they ask.

    See ``UniformProtocol``. The membership is an actor in a process of its own; nodes go on with
    the sample that they have while it is away.

    Args:
        nodes: how many, 1 to 65,536; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...
        view: nodes that each one knows, at most; 1 to 256.
        period: seconds between two exchanges of a node, above 0; None: as many as between two
            sends.

    Raises:
        MissingKey: neither `nodes` nor `named` is given.
        WrongType: a field is of another type.
        WrongValue: a field is out of range, or names are no distinct names or taken.
    """

    @functools.cached_property
    def protocol(self) -> SamplingProtocol:
        """What the samplers follow."""
        return UniformProtocol(self.view)
