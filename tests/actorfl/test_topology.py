"""Who is in a star."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from actorfl.errors import MissingKey, WrongType, WrongValue
from actorfl.graphs.ring import RingGraph
from actorfl.nested import Group, Nested
from actorfl.topology import WORKERS_MAX, Star, Topology
from actorfl.tree import Tree
from tests.actorfl.configs import run_of


def test_workers_are_named_by_their_index_unless_the_star_names_them() -> None:
    assert Star(3).names == ("w0", "w1", "w2")
    assert Star(2, named=("north", "south")).names == ("north", "south")


def test_names_alone_say_how_many_workers_there_are() -> None:
    assert Star(named=("north", "south")) == Star(2, named=("north", "south"))
    with pytest.raises(MissingKey, match=r"Star needs the key `workers` \(how many\), or `named`"):
        Star()


@pytest.mark.parametrize("workers", [0, -1, WORKERS_MAX + 1])
def test_a_star_without_workers_or_with_too_many_is_refused(workers: int) -> None:
    with pytest.raises(
        WrongValue, match=f"`workers` of Star must be from 1 to 65536, got {workers}"
    ):
        Star(workers)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (("a",), r"as many names as there are workers \(2; leave that out\)"),
        (("a", "a"), "distinct"),
        (("a", "../b"), "letters, digits"),
        (("a", ""), "letters, digits"),
        (("a", "b" * 65), "64 at most"),
        *(
            (("a", name), f"in named of Star must be another name than .*, got '{name}'")
            for name in (
                "aggregator", "aggregators", "evaluator", "monitor", "root", "workers",
                "combiners", "aggregator.p0-of-2",
            )
        ),
    ],
)  # fmt: skip
def test_names_that_are_not_distinct_names_are_refused(named: tuple[str, ...], reason: str) -> None:
    with pytest.raises(WrongValue, match=reason):
        Star(2, named=named)


def test_names_of_processes_and_of_parts_that_a_run_does_not_have_are_free() -> None:
    names = ("p0", "nodes", "gatherer", "shard0", "shards", "Root")
    assert Star(named=names).names == names
    for name in ("shard1", "shards"):
        with pytest.raises(WrongValue, match=f"than those of its shards, got '{name}'"):
            Star(named=("a", name), shards=2)


@pytest.mark.parametrize(
    ("name", "topology"),
    [
        ("aggregator", Star(2)), ("evaluator", Star(2)), ("p3", Star(2)),
        ("edge", Tree(root=1, edge=2, worker=4)),
        ("north", Nested((Group("north", workers=("a", "b"), place="own"),))),
    ],
)  # fmt: skip
def test_a_run_is_not_called_as_one_of_its_processes(name: str, topology: Topology) -> None:
    with pytest.raises(WrongValue, match=f"`name` of Run must be another name .*, got '{name}'"):
        run_of(topology=topology, name=name)
    assert run_of(topology=topology, name="gatherer").name == "gatherer"


@pytest.mark.parametrize("make", [Star, RingGraph, partial(Tree, root=1, worker=2)])
@pytest.mark.parametrize("named", ["abc", 3])
def test_a_string_is_no_tuple_of_names(make: Callable[..., Topology], named: object) -> None:
    with pytest.raises(WrongType, match=r"^named of \w+: expected a tuple of names, got "):
        make(named=named)


def test_any_other_iterable_of_names_becomes_a_tuple_of_them() -> None:
    assert Star(named=["north", "south"]) == Star(named=("north", "south"))  # type: ignore[arg-type]
    assert hash(RingGraph(named=iter("abc"))) == hash(RingGraph(named=("a", "b", "c")))  # type: ignore[arg-type]
