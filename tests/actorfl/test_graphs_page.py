"""What the page of topologies says of graphs is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import actorfl
from actorfl import RingGraph, cli, registry
from actorfl.errors import WrongValue
from actorfl.graphs.base import Graph
from actorfl.graphs.report import BLOCKS, report_on
from actorfl.peersampling.topologies import Sampled
from actorfl.registry import SLOTS

PAGE = (Path(__file__).parents[2] / "docs" / "topologies.md").read_text()


def test_the_page_names_every_kind_of_graph_with_its_class() -> None:
    shown = dict(re.findall(r"^\| `([\w-]+)` \| `(\w+)\(", PAGE, re.MULTILINE))
    slot = SLOTS["topology"]
    classes = {kind: registry.resolve(slot, kind, "here", Path()) for kind in slot.kinds}
    graphs = {kind: cls.__name__ for kind, cls in classes.items() if issubclass(cls, Graph)}
    sampled = {kind for kind, cls in classes.items() if issubclass(cls, Sampled)}
    assert shown == {kind: name for kind, name in graphs.items() if kind not in sampled}
    assert len(sampled) == 3
    for kind in sampled:
        assert f'"{kind}"' in PAGE
        assert f"`{graphs[kind]}(" in PAGE


def test_the_topology_of_ones_own_on_the_page_is_one(tmp_path: Path) -> None:
    (code,) = [
        each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Pairs(" in each
    ]
    (tmp_path / "pairs.py").write_text(code)
    done = CliRunner().invoke(
        cli.app, ["topology", "show", f"{tmp_path}/pairs.py:Pairs", "16", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["nodes"], found["links"], found["connected"]) == (16, 15 + 7, True)


NODES = {
    kind: (cls, least, most)
    for kind, cls, least, most in re.findall(
        r"^\| `([\w-]+)` \| `(\w+)\(.*?` \| (\d+) to ([\d,]+)", PAGE, re.MULTILINE
    )
}
#: What each takes beside its number of nodes, which stands in the graph itself for the others.
BESIDE: dict[str, dict[str, Any]] = {
    "regular": {"degree": 1}, "fresh-regular": {"degree": 1}, "erdos-renyi": {"p": 1.0},
    "schedule": {"edges": ((("w0", "w1"),),)},
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(NODES.keys() - {"edges", "block-model"}))
def test_the_page_says_how_few_and_how_many_nodes_a_kind_takes(kind: str) -> None:
    name, least, most = NODES[kind]
    cls, beside = getattr(actorfl, name), BESIDE.get(kind, {})
    fewest, greatest = int(least), int(most.replace(",", ""))
    assert len(cls(fewest, **beside).names) == fewest
    for count in (fewest - 1, greatest + 1):
        with pytest.raises(WrongValue):
            cls(count, **beside)
    if kind in {"complete", "vehicles"}:  # others take their time to draw so many, or to link them
        assert len(cls(greatest, **beside).names) == greatest


def test_small_graphs_of_the_page_are_there_with_fewer_links() -> None:
    assert len(actorfl.SmallWorld(4, k=2).names) == 4
    assert len(actorfl.ScaleFreeGraph(2, links=1).names) == 2
    with pytest.raises(WrongValue, match="links"):
        actorfl.RegularGraph(65_536, degree=17, connected=False)


def test_the_page_names_every_key_of_the_report() -> None:
    table = PAGE.partition("| key of `--json` |")[2].partition("\n\n")[0]
    keys = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", table, re.MULTILINE)))
    assert sorted(keys) == sorted(report_on(RingGraph(6)).summary())


def test_the_page_shows_what_the_command_prints() -> None:
    shown = PAGE.partition("```\nRingGraph, 6 nodes")[2].partition("```")[0].splitlines()
    lines = list(report_on(RingGraph(6)).lines(BLOCKS))
    assert ["RingGraph, 6 nodes" + shown[0], *shown[1:]] == lines
