"""Trees that are described node by node: who is below whom, labels, places, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from actorfl import ASP, BSP, FedAsync, FedAvg, Group, Member, Nested, Rounds, Run, Star, Who
from actorfl.compiling import graph_of
from actorfl.errors import ConfigError, MissingKey, WrongType, WrongValue
from actorfl.task import Dataset, who_of
from actors import Processes, tomlwriter
from tests.faults.runs import carry_out, small
from tests.faults.tasks import Blobs, blobs

NORTH = Group("north", workers=("n0",), labels={"site": "north"}, place="own")
SOUTH = Group(
    "south",
    workers=("s0", Member("s1", {"size": "large", "site": "harbour"}), "s2"),
    labels={"site": "south"},
)
HOSPITALS = Nested((NORTH, SOUTH), labels={"country": "x", "site": "?"})
TOML = """
labels = { country = "x", site = "?" }

[[below]]
name = "north"
workers = ["n0"]
labels = { site = "north" }
place = "own"

[[below]]
name = "south"
workers = ["s0", { name = "s1", labels = { size = "large", site = "harbour" } }, "s2"]
labels = { site = "south" }
"""


def test_levels_names_and_nodes_are_those_of_the_description() -> None:
    assert HOSPITALS.levels == (("root", 1), ("edge", 2), ("worker", 4))
    assert HOSPITALS.names == ("n0", "s0", "s1", "s2")
    assert [(node.name, node.level, node.workers, node.own) for node in HOSPITALS.root.below] == [
        ("north", "edge", ("n0",), True),
        ("south", "edge", ("s0", "s1", "s2"), False),
    ]


def test_a_worker_has_the_labels_of_all_around_it_and_the_nearest_holds() -> None:
    found = [dict(who_of(HOSPITALS, index).labels) for index in range(4)]
    south = {"country": "x", "site": "south"}
    large = {"country": "x", "site": "harbour", "size": "large"}
    assert found == [{"country": "x", "site": "north"}, south, large, south]
    assert dict(who_of(Star(2), 1).labels) == {}


def test_workers_may_lie_below_the_root_and_levels_may_have_any_names() -> None:
    assert Nested(workers=("a", "b")).levels == (("root", 1), ("worker", 2))
    deep = Nested(
        (Group("r", below=(Group("c", workers=("a",)),)),),
        called=("cloud", "region", "city", "phone"),
    )
    assert deep.levels == (("cloud", 1), ("region", 1), ("city", 1), ("phone", 1))


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({}, MissingKey, "Nested needs the key `workers`"),
        ({"below": (Group("a", workers=("x",)),), "workers": ("y",)}, WrongValue, "got 'both'"),
        ({"below": ("a",)}, WrongType, "what is in below of Nested: expected a Group"),
        ({"workers": "abc"}, WrongType, "workers of Nested: expected a list"),
        ({"workers": (3,)}, WrongType, "expected a name or a Member, got int 3"),
        ({"workers": ("a", "a")}, WrongValue, "the names of Nested must be distinct, got 'a'"),
        ({"workers": ("a", "../b")}, WrongValue, "letters, digits"),
        ({"below": (Group("p1", workers=("x",)),)}, WrongValue, "another name than those"),
        ({"workers": ("a", "monitor")}, WrongValue, "a worker of Nested must be another name"),
        ({"below": (Group("x", workers=("x",)),)}, WrongValue, "distinct"),
        ({"workers": ("a",), "called": ("top",)}, WrongValue, "as many names as there are levels"),
        (
            {"workers": ("a",), "labels": {"site": 3}},
            WrongType,
            "labels of Nested: expected a table",
        ),
        ({"workers": ("a",), "labels": {str(i): "" for i in range(65)}}, WrongValue, "at most 64"),
        (
            {
                "below": (
                    Group("a", workers=("x",)),
                    Group("b", below=(Group("c", workers=("y",)),)),
                )
            },
            WrongValue,
            "equally deep, so that each level has a name, got 'x 2 below the root and y 3'",
        ),
        (
            {"below": (Group("a", below=(Group("b", workers=("x",)),)),)},
            MissingKey,
            r"Nested needs the key `called` \(names of 4 levels",
        ),
    ],
)
def test_what_is_no_tree_is_refused_in_a_sentence(
    arguments: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        Nested(**arguments)


def test_a_group_without_anybody_or_at_no_place_is_refused() -> None:
    with pytest.raises(MissingKey, match="group 'a' needs the key `workers`"):
        Group("a")
    with pytest.raises(WrongValue, match='place of group \'a\' must be "level" or "own"'):
        Group("a", workers=("x",), place="moon")  # type: ignore[arg-type]


def test_a_file_of_its_own_a_table_and_a_value_are_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "tree.toml").write_text(TOML)
    run = small(topology=HOSPITALS)
    (tmp_path / "run.toml").write_text(run.to_toml())
    assert Run.from_toml(tmp_path / "run.toml").hash == run.hash
    named = small(topology="tree.toml", base=tmp_path)
    assert (named.topology, named.hash) == (HOSPITALS, run.hash)
    table = {**run.table(), "topology": "tree.toml", "base": "."}
    (tmp_path / "run.toml").write_text(tomlwriter.dumps(table))
    assert Run.from_toml(tmp_path / "run.toml").hash == run.hash
    (tmp_path / "bad.toml").write_text('below = [{ name = "a", wrokers = ["x"] }]')
    with pytest.raises(ConfigError, match=r"unknown key `wrokers` in `below\[0\]` of .*bad\.toml"):
        small(topology="bad.toml", base=tmp_path)
    with pytest.raises(ConfigError, match=r"none\.toml"):
        small(topology="none.toml", base=tmp_path)


def test_each_level_may_have_its_own_policy_and_algorithm() -> None:
    run = small(
        topology=HOSPITALS,
        algorithm={"root": FedAsync(), "edge": FedAvg()},
        sync={"root": ASP(), "edge": BSP(rounds=2)},
    )
    assert run.sync_at("edge") == BSP(rounds=2)


def test_an_aggregator_with_a_place_of_its_own_has_a_process_of_its_own() -> None:
    async def nobody(*_: object) -> None:
        pass

    shown = graph_of(small(topology=HOSPITALS), "identity", nobody, nobody).text(Processes(2))
    assert "north  Edge, process north" in shown
    assert "south  Edge, process edge" in shown


def test_the_description_beside_the_example_of_a_tree_is_one() -> None:
    home = Path(__file__).parents[2] / "examples" / "hierarchy"
    run = Run.from_toml(home / "run.toml", ["topology=regions.toml"])
    assert run.topology.names == ("tromso", "bodo", "brest", "cadiz", "porto")
    climates = [who_of(run.topology, index).labels["climate"] for index in range(5)]
    assert climates == ["cold", "cold", "mild", "hot", "mild"]


@dataclass(frozen=True)
class Sited(Blobs):
    """Whose size depends on what is known of a worker."""

    def train(self, who: Who) -> Dataset:
        return blobs(who.index, 20 if who.labels.get("size") == "large" else 10)


async def test_the_model_has_the_bits_of_a_star_and_tasks_see_the_labels(tmp_path: Path) -> None:
    run = small(task=Blobs(), topology=HOSPITALS, until=Rounds(2))
    star = await carry_out(replace(run, topology=Star(named=HOSPITALS.names)), tmp_path)
    assert (await carry_out(run, tmp_path)).sha256 == star.sha256
    seen = await carry_out(replace(run, task=Sited()), tmp_path)
    assert seen.sha256 != star.sha256
