"""Topologies of one's own: what they may be, and which are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actorfl import (
    DPSGD,
    SGD,
    BestConstant,
    EpidemicLearning,
    PairAlgorithm,
    Peers,
    PushSum,
    Rounds,
    Run,
)
from actorfl.errors import ConfigError, Misfit
from actors import Simulated
from tests.faults.tasks import Blobs


@dataclass(frozen=True)
class Own(Peers):
    """As a table says."""

    table: Mapping[str, Any]
    heard: Mapping[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.table)

    def neighbours(self, name: str) -> tuple[str, ...]:
        found: tuple[str, ...] = self.table[name]
        return found

    def senders(self, name: str) -> tuple[str, ...]:
        found: tuple[str, ...] = (self.heard or self.table)[name]
        return found

    @property
    def symmetric(self) -> bool:
        return self.heard is None


ROUND = {"a": ("b",), "b": ("c",), "c": ("a",)}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Own({"a": ("a",)}), "a neighbour of a in Own must be another node, got 'a'"),
        (Own({"a": ("z",)}), "a neighbour of a in Own must be a node of it, got 'z'"),
        (Own({"a": ("b", "b"), "b": ("a",)}), "neighbours of a in Own must be distinct, got 'b'"),
        (Own({"a": None}), "the neighbours of a in Own: expected a tuple of names, got None"),
        (Own({"a": "b", "b": "a"}), "neighbours of a in Own: expected a tuple of names, got str"),
        (Own({"a": (1,)}), "the neighbours of a in Own: expected a tuple of names, got int 1"),
        (Own({"a b": ()}), "a name in the names of Own must be letters"),
        (
            Own(ROUND),
            "in Own a has the neighbour b, and b has no neighbour a; give it that, or say",
        ),
        (
            Own(ROUND, {"a": (), "b": ("a",), "c": ("b",)}),
            "in Own c has the neighbour a, and a has no sender c; give it that, or take a from",
        ),
    ],
    ids=range(9),
)
def test_a_topology_whose_nodes_do_not_agree_is_refused(wrong: Own, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        Run(Blobs(), wrong, DPSGD(), until=Rounds(1))


@dataclass(frozen=True)
class Turning(Own):
    """Each sends on, and from a round on backwards; one of them does not notice."""

    since: int = 7
    late: str = "nobody"

    @property
    def fixed(self) -> bool:
        return False

    def targets(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002  (the field's word)
        return (self.neighbours(name)[round >= self.since],)

    def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        return (self.neighbours(name)[round < self.since + (name == self.late)],)


def test_a_topology_whose_rounds_differ_has_to_say_for_each_who_hears() -> None:
    both = {"a": ("b", "c"), "b": ("c", "a"), "c": ("a", "b")}
    assert Run(Blobs(), Turning(both), DPSGD(), until=Rounds(1)).topology == Turning(both)
    with pytest.raises(
        Misfit, match="in round 7 of Turning a is not among the `sources` of c, and"
    ):
        Run(Blobs(), Turning(both, late="c"), DPSGD(), until=Rounds(1))


def test_a_topology_whose_nodes_agree_is_taken() -> None:
    ways = {"a": ("c",), "b": ("a",), "c": ("b",)}
    run = Run(Blobs(), Own(ROUND, ways), PushSum(), until=Rounds(1))
    assert run.topology == Own(ROUND, ways)


@pytest.mark.parametrize("algorithm", [EpidemicLearning(fanout=1), DPSGD(mixing=BestConstant())])
def test_a_topology_of_ones_own_may_have_fields_without_a_hash(
    algorithm: PairAlgorithm, tmp_path: Path
) -> None:
    table = {"a": ("b", "c"), "b": ("c", "a"), "c": ("a", "b")}
    run = Run(Blobs(), Own(table), algorithm, until=Rounds(2), local=SGD(lr=0.1))
    assert run.start(on=Simulated(1), out=tmp_path).rounds == 2
