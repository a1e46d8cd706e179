"""Graphs of edges: given one by one, by networkx, or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from actorfl import (
    EdgeListGraph,
    Run,
)
from actorfl.errors import ConfigError

TRIANGLE = (("a", "b"), ("b", "c"), ("c", "a"))

#: A run on a graph.
TOML = """
task = "digits"
topology = {topology}
node = "tests.faults.programs:Handing"
"""

#: Of a graph in GraphML.
AB = '<node id="a"/><node id="b"/><edge source="a" target="b"/>'


def graphml(inner: str) -> str:
    return f'<graph edgedefault="undirected">{inner}</graph>'


def test_edges_name_the_nodes() -> None:
    graph = EdgeListGraph(edges=(("b", "a"), ("c", "a"), ("a", "c")))
    assert graph.names == ("b", "a", "c")
    assert graph.neighbours("a") == ("b", "c")
    assert graph == EdgeListGraph(named=("b", "a", "c"), edges=(("a", "b"), ("a", "c")))
    assert graph.symmetric


def test_directed_edges_lead_one_way() -> None:
    graph = EdgeListGraph(edges=TRIANGLE, directed=True)
    assert (graph.neighbours("a"), graph.senders("a")) == (("b",), ("c",))
    assert not graph.symmetric
    back = tuple((other, one) for one, other in TRIANGLE)
    assert EdgeListGraph(edges=TRIANGLE + back, directed=True).symmetric


def test_a_graph_in_parts_is_taken_where_it_is_asked_for() -> None:
    graph = EdgeListGraph(edges=(("a", "b"), ("c", "d")), connected=False)
    assert graph.neighbours("c") == ("d",)


def test_a_file_of_edges_is_a_topology(tmp_path: Path) -> None:
    (tmp_path / "roads.edges").write_text(
        "# from to km\nbrest paris 589\n\nparis,lyon {'km': 466}\n"
    )
    graph = EdgeListGraph.read(tmp_path / "roads.edges")
    assert graph.neighbours("paris") == ("brest", "lyon")
    nx.write_graphml(nx.relabel_nodes(nx.cycle_graph(5), str), tmp_path / "ring.graphml")
    assert EdgeListGraph.read(tmp_path / "ring.graphml").neighbours("0") == ("1", "4")
    for name in ("roads.edges", "ring.graphml"):
        (tmp_path / "run.toml").write_text(TOML.format(topology=f'"{name}"'))
        run = Run.from_toml(tmp_path / "run.toml")
        assert run.topology == EdgeListGraph.read(tmp_path / name)


@pytest.mark.parametrize(
    "graph",
    [
        nx.grid_2d_graph(2, 2), nx.davis_southern_women_graph(), nx.hypercube_graph(3),
        nx.Graph([(1, "1"), ("1", 2)]), nx.Graph([("root", "a"), ("a", "b")]),
        nx.path_graph([-1, 0, 1]), nx.DiGraph([((0,), (1,)), ((1,), (2,)), ((2,), (0,))]),
        nx.Graph([("w1", "w0"), ("w0", frozenset())]),
        nx.MultiGraph([((0,), (1,)), ((0,), (1,)), ((1,), (2,))]),
    ],
    ids=str,
)  # fmt: skip
def test_labels_that_are_no_names_are_numbered_in_the_order_of_the_graph(graph: Any) -> None:
    found = EdgeListGraph.of(graph)
    assert found.names == tuple(f"w{place}" for place in range(len(graph)))
    called = dict(zip(graph, found.names, strict=True))
    assert found.directed == graph.is_directed()
    for label, name in called.items():
        assert set(found.neighbours(name)) == {called[other] for other in graph[label]}


def test_labels_that_are_names_are_kept() -> None:
    assert EdgeListGraph.of(nx.path_graph(["b", 1, 0.5])).names == ("b", "1", "0.5")
    assert EdgeListGraph.of(nx.florentine_families_graph()).names[0] == "Acciaiuoli"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.edges", "a b\nc\n", r"a.edges: line 2 has one name, c; an edge has two"),
        ("a.edges", "# nothing\n", "a.edges: there are no edges in it"),
        ("a.edges", "a b\na a\n", "a.edges: .* from a to itself"),
        ("a.edges", "a a\n", "a.edges: .* from a to itself"),
        (
            "a.edges",
            "a b\nc d\n",
            "a.edges: .*no way from a to c; add an edge, or say connected = ",
        ),
        ("a.edges", "a ../b\n", "a.edges: .*letters, digits"),
        ("a.edges", b"\xff\xfe", "a.edges is no text in UTF-8"),
        ("a.edges", "#" * (2**20 + 1), "larger than 1048576 bytes, the most that a graph may be"),
        ("a.graphml", "<graphml", "a.graphml: it is no GraphML"),
        ("a.graphml", "<html></html>", "a.graphml: it is no GraphML"),
        ("a.graphml", '<!DOCTYPE g [<!ENTITY a "b">]><g/>', "a document type of its own"),
        (
            "a.graphml",
            graphml(AB) + graphml(AB),
            "a.graphml: it has 2 graphs; leave one of them, or write a file for each",
        ),
        (
            "a.graphml",
            graphml(AB + f'<node id="c">{graphml(AB)}</node>'),
            "a.graphml: it has a graph within a node or an edge of another one",
        ),
        ("a.graphml", graphml(AB + "<node/>"), "a.graphml: node 3 of its 3 has no id; give it one"),
        (
            "a.graphml",
            graphml(AB + '<edge source="b" target="c"/>'),
            "a.graphml: edge 2 has the target c, and no node has this id; add the node, or correct",
        ),
        (
            "a.graphml",
            graphml(AB + '<edge target="a"/>'),
            "a.graphml: edge 2 has no source; say the id of a node",
        ),
        (
            "a.graphml",
            f'<graph edgedefault="foo">{AB}</graph>',
            "a.graphml: its graph has the edgedefault 'foo'; say edgedefault=\"undirected\", or",
        ),
        (
            "a.graphml",
            f'<graph edgedefault="Directed">{AB}</graph>',
            "a.graphml: its graph has the edgedefault 'Directed'; say",
        ),
        ("a.graphml", f"<graph >{AB}</graph>", "a.graphml: its graph has no edgedefault; say"),
        ("a.graphml", graphml(""), "a.graphml: there are no nodes in its graph"),
        ("a.graphml", graphml('<node id="a"/>'), "a.graphml: `nodes` of EdgeListGraph"),
        ("a.graphml", graphml(AB + "<hyperedge/>"), "a.graphml: it has a hyperedge"),
        (
            "a.graphml",
            graphml(AB + '<edge source="b" target="a" directed="true"/>'),
            'a.graphml: edge 2 says directed="true", and its graph is undirected; take that out',
        ),
        (
            "a.graphml",
            graphml(AB)
            .replace("undirected", "directed")
            .replace("/></g", ' directed="false"/></g'),
            'a.graphml: edge 1 says directed="false", and its graph is directed; take that out',
        ),
        (
            "a.graphml",
            "<graphml><graph>",
            r"a.graphml: it is no GraphML: its XML is broken in line 1, column 17 \(no element",
        ),
        ("a.graphml", "<graphml></graphml>", "a.graphml: it is no GraphML: there is no graph"),
        ("a.edges", "\ufeff# nothing\n", "a.edges: there are no edges in it"),
        ("a.graphml", graphml('<node id="(0, 1)"/>' + AB), "a.graphml: a name in named of .*, 1"),
        ("missing.edges", None, "cannot read .*missing.edges: no such file"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_with_its_name(
    tmp_path: Path, name: str, content: str | bytes | None, sentence: str
) -> None:
    if content is not None:
        if isinstance(content, str) and content.startswith("<graph "):
            content = f'<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{content}</graphml>'
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=sentence):
        EdgeListGraph.read(tmp_path / name)


def test_of_graphml_nodes_and_edges_are_read_whatever_else_it_says(tmp_path: Path) -> None:
    # Ports and data are of programs that draw; a warning about them would fail this test.
    said = (
        '<key id="k" for="node" attr.name="w" attr.type="boolean"><default>maybe</default></key>'
        + graphml(
            '<node id="a"><port name="p"/><data key="k">x</data></node><node id="b"/>'
            '<node id="a"/><edge source="a" target="b" directed="false" sourceport="p"/>'
            '<edge source="b" target="a"><data key="none"/></edge>'
        )
    )
    for start in ("", "\ufeff"):
        (tmp_path / "a.graphml").write_text(f"{start}<graphml>{said}</graphml>")
        graph = EdgeListGraph.read(tmp_path / "a.graphml")
        assert graph == EdgeListGraph(edges=(("a", "b"),))
    (tmp_path / "a.graphml").write_text(
        f'<graphml><graph edgedefault="directed">{AB}</graph></graphml>'
    )
    assert EdgeListGraph.read(tmp_path / "a.graphml", connected=False).directed


def test_the_mark_with_which_some_editors_begin_a_file_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.edges").write_text("a b\nb c\n", encoding="utf-8-sig")
    assert EdgeListGraph.read(tmp_path / "a.edges").names == ("a", "b", "c")


# -- refusals --------------------------------------------------------------------------------------
