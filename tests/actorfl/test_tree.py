"""Who is below whom in a tree, and which trees are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import ASP, BSP, SGD, SSP, Buffered, FedAvg, Median, Quorum, Rounds, Run, Star, Tree
from actorfl.compiling import levels_between
from actorfl.errors import ConfigError, Misfit, MissingKey, WrongType, WrongValue
from actorfl.simulate.playing import sized
from actorfl.topology import Node
from actorfl.tree import _MOST_LEVELS as MOST
from tests.faults.runs import small

LEVELS = st.lists(st.integers(1, 12), min_size=1, max_size=5).map(
    lambda counts: [1, *sorted(counts)]
)


def tree(counts: list[int]) -> Tree:
    return Tree([(f"level{'abcdefgh'[place]}", count) for place, count in enumerate(counts)])


@settings(max_examples=40)
@given(LEVELS)
def test_what_is_below_a_level_is_dealt_out_in_order_and_evenly(counts: list[int]) -> None:
    made = tree(counts)
    levels = [(made.root,), *levels_between(made.root)]
    assert [len(level) for level in levels] == counts[:-1]
    for level, below in zip(levels, counts[1:], strict=True):
        sizes = [len(node.below) for node in level]
        assert sum(sizes) == below
        assert max(sizes) - min(sizes) <= 1
    # Every worker once, in the order of the roster.
    for level in levels:
        assert sum((node.workers for node in level), ()) == made.names
    leaves = [each for node in levels[-1] for each in node.below]
    assert [leaf.name for leaf in leaves] == list(made.names)
    assert {leaf.below for leaf in leaves} == {()}


def test_aggregators_are_named_by_their_level_and_workers_as_in_a_star() -> None:
    root = Tree(root=1, edge=2, worker=3).root
    assert (root.name, root.level) == ("aggregator", "root")
    assert [(node.name, node.level, node.workers) for node in root.below] == [
        ("edge0", "edge", ("w0",)),
        ("edge1", "edge", ("w1", "w2")),
    ]
    assert Tree(root=1, worker=3).names == Star(3).names
    assert Tree(root=1, worker=2, named=("north", "south")).names == ("north", "south")
    assert Star(2).root == Node("aggregator", "root", (Node("w0", "worker"), Node("w1", "worker")))


@pytest.mark.parametrize(
    ("given", "keywords", "error", "sentence"),
    [
        (None, {}, MissingKey, r"Tree needs the key `levels` \(such as root=1, edge=4, worker=8\)"),
        (None, {"root": 1}, WrongValue, "levels of Tree must be from 2 to 16, got 1"),
        (None, {"root": 2, "worker": 4}, WrongValue, "`root` of Tree must be 1, as there is one"),
        (
            None, {"root": 1, "edge": 4, "worker": 3}, WrongValue,
            "level `worker` of Tree must be from 4, those above it, to 65536, got 3",
        ),
        (None, {"root": 1, "worker": 65_537}, WrongValue, "to 65536, got 65537"),
        (None, {"root": 1, "worker": True}, WrongType, "level `worker` of Tree: expected an int"),
        (None, {"root": 1, "worker": "8"}, WrongType, "level `worker` of Tree: expected an int"),
        (None, {"root": 1, "p0": 2, "worker": 3}, WrongValue, "another name than those of other"),
        (None, {"root": 1, "monitor": 2, "w": 3}, WrongValue, "another name than those of other"),
        ([("root", 1), ("a b", 2)], {}, WrongValue, "letters, digits"),
        ([("root", 1), ("root", 2)], {}, WrongValue, "levels of Tree must be distinct"),
        ([("root", 1), ("worker",)], {}, WrongType, "a level of Tree: expected a name and a number"),
        ([("root", 1), 3], {}, WrongType, "a level of Tree: expected a name and a number"),
        (3, {}, WrongType, "levels of Tree: expected pairs of a name and a number, got int 3"),
        ([(f"l{n}", 1) for n in range(MOST + 1)], {}, WrongValue, "from 2 to 16, got 17"),
        # One node, one name: of supervisors, too.
        (None, {"root": 1, "w": 2, "worker": 3}, WrongValue, "no two nodes have one name.*'w0'"),
        (None, {"root": 1, "e": 11, "e1": 11, "worker": 11}, WrongValue, "got 'e1'"),
        (None, {"root": 1, "e": 1, "e0": 1, "worker": 1}, WrongValue, "got 'e0'"),
        (
            None, {"root": 1, "edge": 1, "worker": 2, "named": ("a", "edge0")}, WrongValue,
            "no two nodes have one name, got 'edge0'",
        ),
        (
            None, {"root": 1, "edge": 1, "worker": 2, "named": ("a", "edge")}, WrongValue,
            "no two nodes have one name, got 'edge'",
        ),
        (None, {"root": 1, "worker": 2, "named": ("a",)}, WrongValue, "as there are workers"),
        (None, {"root": 1, "worker": 1, "named": ("root",)}, WrongValue, "another name than those"),
        (None, {"root": 1, "worker": 2, "named": ("a", "a")}, WrongValue, "must be distinct"),
    ],
)  # fmt: skip
def test_a_tree_that_cannot_be_is_refused_with_a_sentence(
    given: Any, keywords: dict[str, Any], error: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Tree(given, **keywords)


def run(topology: Tree | str, **changed: Any) -> Run:
    return Run(
        "digits", topology, changed.pop("algorithm", FedAvg()), local=SGD(lr=0.1),
        until=Rounds(1), **changed,
    )  # fmt: skip


def test_keywords_a_list_and_a_file_are_one_configuration(tmp_path: Path) -> None:
    by_name = run(Tree(root=1, edge=2, worker=5))
    by_list = run(Tree([["root", 1], ["edge", 2], ["worker", 5]]))
    assert by_name == by_list
    assert by_name.hash == by_list.hash
    assert by_name.hash != run(Tree(root=1, edge=3, worker=5)).hash
    file = tmp_path / "run.toml"
    file.write_text(by_name.to_toml())
    assert 'kind = "tree"' in file.read_text()
    read = Run.from_toml(file)
    assert read.topology == by_name.topology
    assert hash(read.topology) == hash(by_name.topology)
    assert read.hash == by_name.hash
    named = Tree(root=1, edge=1, worker=2, named=("north", "south"))
    file.write_text(run(named).to_toml())
    assert Run.from_toml(file).topology == named


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ('[["root", 1], ["worker", "two"]]', "two"),
        ('[["root", 1], ["worker", 2.5]]', "2.5"),
        ('[["root", 1, 2], ["worker", 2]]', "levels"),
        ("3", "levels"),
        ('[["root", 1], ["w", 2], ["worker", 3]]', "no two nodes have one name"),
    ],
)
def test_a_tree_of_a_file_is_refused_with_its_place(
    levels: str, sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        f'task = "digits"\ntopology = {{ kind = "tree", levels = {levels} }}\n'
        'algorithm = "fedavg"\nlocal = { lr = 0.1 }\nuntil = { rounds = 1 }\n'
    )
    with pytest.raises(ConfigError, match=sentence) as caught:
        Run.from_toml(file)
    assert "topology" in str(caught.value)


def test_what_cannot_be_added_up_on_the_way_or_has_no_rounds_is_refused_on_trees() -> None:
    deep = Tree(root=1, edge=2, worker=5)
    assert run(deep, algorithm=Median())  # forwarded whole
    for level in ("root", "edge"):
        partly = {"root": BSP(), "edge": BSP(), level: Quorum(0.5)}
        with pytest.raises(Misfit, match=r"Median looks at each .* under BSP and not under Quorum"):
            run(deep, algorithm=Median(), sync=partly)
    assert run(Tree(root=1, worker=5), algorithm=Median())
    for sync in (SSP(1), ASP(), Buffered(2)):
        name = type(sync).__name__
        with pytest.raises(
            Misfit, match=rf"{name} is for the root of a Tree, not for its level `ed"
        ):
            run(deep, sync=sync, algorithm=FedAvg())
        assert run(deep, sync={"root": sync, "edge": BSP()}, algorithm=FedAvg())
    assert run(deep, sync=BSP())


def test_a_simulated_tree_of_another_size_keeps_its_aggregators() -> None:
    whole = small(topology=Tree(root=1, edge=2, worker=5))
    assert sized(whole, 9).topology == Tree(root=1, edge=2, worker=9)
    assert sized(whole, 5) is whole
    with pytest.raises(Misfit, match=r"2 aggregators of level `edge` .* cannot be 1 nodes"):
        sized(whole, 1)
    named = small(topology=Tree(root=1, edge=1, worker=2, named=("north", "south")))
    with pytest.raises(Misfit, match="names its 2 workers"):
        sized(named, 3)
