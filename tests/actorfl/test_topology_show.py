"""``actorfl topology show`` tells what a graph is like, and draws it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from typer.testing import CliRunner, Result

from actorfl import (
    CompleteGraph,
    ExponentialGraph,
    FreshRegularGraph,
    PathGraph,
    Peers,
    RegularGraph,
    RingGraph,
    ScheduleGraph,
    Star,
    StarGraph,
    TorusGraph,
    Uniform,
    Vehicles,
    cli,
    spectrum,
)
from actorfl.errors import Misfit, WrongValue
from actorfl.exitcodes import ExitCode
from actorfl.graphs import picture, report
from actorfl.graphs.report import report_on

CONFIGURATION = """
task = "nothing.py:AtAll"
topology = { kind = "torus", nodes = 12 }
"""


@pytest.fixture(scope="module", autouse=True)
def fonts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files that matplotlib opens at its first picture and keeps open."""
    picture.draw(RingGraph(3), tmp_path_factory.mktemp("fonts") / "first.svg")


def show(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["topology", "show", *map(str, words)])


def told(*words: str | Path) -> Any:
    done = show(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_ring_is_told_and_drawn() -> None:
    done = show("ring", "6")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "RingGraph, 6 nodes, 6 links",
        "degree             2 to 2, mean 2",
        "connected          yes",
        "diameter           3",
        "spectral gap       0.333333, second eigenvalue 0.666667 (Metropolis)",
        "rounds to 1e-6     35",
        "",
        "  w0 ·█···█",
        "  w1 █·█···",
        "  w2 ·█·█··",
        "  w3 ··█·█·",
        "  w4 ···█·█",
        "  w5 █···█·",
    ]


def test_it_writes_what_the_terminal_can() -> None:
    done = CliRunner(charset="ascii").invoke(cli.app, ["topology", "show", "ring", "4"])
    assert done.stdout.splitlines()[-1] == "  w3 #.#."


def test_many_nodes_share_a_square_of_the_drawing() -> None:
    drawing = report_on(RingGraph(400)).drawing
    assert len(drawing) == len(drawing[0]) == 40
    assert drawing[0] == "41" + "0" * 37 + "1"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["star-graph", "9"], {"degree": {"min": 1, "mean": 16 / 9, "max": 8}, "diameter": 2}),
        (["regular", "nodes=12", "degree=3"], {"links": 18, "directed": False, "fixed": True}),
        (["ring", "8", "--mixing", "best-constant"], {"mixing": "BestConstant", "rounds": 47}),
        (
            ["exponential", "16"],
            {"links": 64, "directed": True, "mixing": "Uniform", "diameter": 4, "rounds": 28},
        ),
        (
            ["erdos-renyi", "30", "p=0.02", "connected=false"],
            {"connected": False, "diameter": None, "rounds": None},
        ),
        (
            ["one-peer-exponential", "16"],
            {"fixed": False, "rounds": 4, "slem": None, "links": 16, "connected": True},
        ),
    ],
)
def test_what_is_told_can_be_read_by_scripts(words: list[str], expected: dict[str, Any]) -> None:
    found = told(*words)
    assert {key: found[key] for key in expected} == expected


OWN = """
from dataclasses import dataclass

from actorfl import Peers


@dataclass(frozen=True)
class Own(Peers):
    wrong: str = ""

    @property
    def names(self):
        return ("a", "b", "c")

    def neighbours(self, name):
        ring = {"a": ("b", "c"), "b": ("a", "c"), "c": ("a", "b")}
        return {"": ring[name], "who": ("d",), "self": (name,), "way": ring[name][:1]}[self.wrong]
"""


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("who", "a neighbour of a in Own must be a node of it, got 'd'"),
        ("self", "a neighbour of a in Own must be another node, got 'a'"),
        ("way", "in Own c has the neighbour a, and a has no neighbour c"),
    ],
)
def test_a_graph_of_ones_own_is_refused_as_a_run_refuses_it(
    wrong: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    assert told(f"{tmp_path}/own.py:Own")["links"] == 3
    done = show(f"{tmp_path}/own.py:Own", f"wrong={wrong}")
    assert done.exit_code in {14, 15}
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("algorithm", "words", "mixing", "rounds"),
    [
        ('"dpsgd"', (), "Metropolis", 118),
        ('{ kind = "dpsgd", mixing = "best-constant" }', (), "BestConstant", 62),
        ('"dpsgd"', ("algorithm.mixing=best-constant",), "BestConstant", 62),
        ('{ kind = "dpsgd", mixing = "best-constant" }', ("--mixing", "metropolis"), "Metropolis", 118),
        ('"gossip"', (), "Metropolis", 118),
    ],
)  # fmt: skip
def test_a_configuration_is_shown_with_the_mixing_of_its_algorithm(
    algorithm: str, words: tuple[str, ...], mixing: str, rounds: int, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'topology = {{ kind = "star-graph", nodes = 9 }}\nalgorithm = {algorithm}\n')
    found = told(file, *words)
    assert (found["mixing"], found["rounds"]) == (mixing, rounds)


def test_a_mixing_of_a_configuration_that_does_not_fit_its_graph_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'topology = { kind = "star-graph", nodes = 9 }\n'
        'algorithm = { kind = "dpsgd", mixing = "uniform" }\n'
    )
    assert "so the mean of all would drift; use Metropolis" in show(file).stderr


def test_the_graph_of_a_configuration_is_shown_without_its_task(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(CONFIGURATION)
    assert told(tmp_path / "run.toml")["topology"] == "TorusGraph"
    assert told(tmp_path / "run.toml", "topology.nodes=20")["nodes"] == 20
    (tmp_path / "roads.edges").write_text("a b\nb c\n")
    assert told(tmp_path / "roads.edges")["diameter"] == 2


@pytest.mark.parametrize("graph", [TorusGraph(20), RegularGraph(50, degree=3), RingGraph(9)])
def test_the_diameter_is_that_of_networkx(
    graph: RingGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = nx.Graph([(name, other) for name in graph.names for other in graph.neighbours(name)])
    assert report_on(graph).diameter == nx.diameter(theirs)
    monkeypatch.setattr(spectrum, "DENSE_MAX", 4)
    least = report_on(graph)
    assert not least.diameter_exact
    assert least.diameter is not None
    assert nx.diameter(theirs) / 2 <= least.diameter <= nx.diameter(theirs)


@pytest.mark.parametrize(
    "graph", [TorusGraph(20), PathGraph(17), ExponentialGraph(12), CompleteGraph(9), StarGraph(7)],
    ids=lambda graph: type(graph).__name__,
)  # fmt: skip
@pytest.mark.parametrize(
    "limits",
    [{"_GATHERED": 1}, {"_GATHERED": 20}, {"_HANDED_ON": 0}, {"_HANDED_ON": 2**18}],
    ids=str,
)
def test_the_diameter_is_the_same_in_pieces_and_by_searches(
    graph: Peers, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(report, name, value)
    links = [(name, other) for name in graph.names for other in graph.neighbours(name)]
    assert report_on(graph).diameter == nx.diameter(nx.DiGraph(links))


def test_what_all_nodes_reach_is_looked_up_a_little_at_a_time() -> None:
    targets = [[to for to in range(300) if to != place] for place in range(300)]
    tracemalloc.start()
    try:
        assert report._diameter(targets) == 1
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Beside the 90,000 links, 8 bytes each and a list of them, and not 38 bytes for each of them.
    assert most < 300 * 300 * 30


def test_of_a_graph_that_changes_rounds_are_looked_at_and_mixing_is_measured() -> None:
    found = report_on(FreshRegularGraph(20, degree=3))
    assert set(found.degree) == {3}
    assert found.connected
    assert (found.summary()["slem"], found.summary()["diameter"]) == (None, None)
    lines = list(found.lines(report.ASCII))
    assert lines[0] == "FreshRegularGraph, 20 nodes, 30 links in a round, others in the next"
    assert lines[2:5] == [
        "connected          yes, by the links of 16 rounds together",
        "diameter           none: it changes by round",
        "spectral gap       none: it changes by round (Metropolis)",
    ]
    assert lines[5] == f"rounds to 1e-6     {found.rounds}, measured"
    parts = ScheduleGraph(edges=((("a", "b"),), (("c", "d"),)))
    assert list(report_on(parts).lines(report.ASCII))[5] == (
        "rounds to 1e-6     more than could be measured"
    )


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["rnig", "8"], ExitCode.UNKNOWN_KEY, "unknown graph `rnig` (a file ends in .toml, .edges"),
        (["rnig", "8"], ExitCode.UNKNOWN_KEY, "did you mean `ring`?"),
        (["nowhere"], ExitCode.UNKNOWN_KEY, "`vehicles`"),
        (["star", "8"], ExitCode.MISFIT, "Star has a centre, and what is shown here is"),
        (["newscast", "8"], ExitCode.MISFIT, "in Newscast nodes meet as it happens"),
        (
            ["ring", "abc"],
            ExitCode.CONFIG,
            "abc: expected KEY=VALUE, such as degree=4, or the num",
        ),
        (["ring", "1.5"], ExitCode.CONFIG, "actorfl: 1.5: expected KEY=VALUE"),
        (["ring", "a b=3"], ExitCode.CONFIG, "actorfl: a b=3: `a b` is not a key"),
        (["ring", "nodes="], ExitCode.UNKNOWN_KEY, "actorfl: nodes=: there is no `nodes` to take"),
        (["ring", "16", "17"], ExitCode.CONFIG, "16 17: `nodes` is given twice; leave one out"),
        (["ring", "16", "nodes=17"], ExitCode.CONFIG, "`nodes` is given twice"),
        (["ring", "8", "degree=3"], ExitCode.UNKNOWN_KEY, "unknown key `degree` of the command li"),
        (["regular", "8"], ExitCode.WRONG_VALUE, "RegularGraph needs the key `degree`"),
        (["ring", "1"], ExitCode.WRONG_VALUE, "`nodes` of RingGraph must be from 2 to 65536"),
        (["star", "workers=8"], ExitCode.MISFIT, "Star has a centre, and what is shown here is"),
        (["ring", "8", "--mixing", "best"], ExitCode.UNKNOWN_KEY, "unknown mixing `best`"),
        (
            ["star-graph", "8", "--mixing", "uniform"],
            ExitCode.MISFIT,
            "the Uniform weights that w0",
        ),
        (["missing.toml"], ExitCode.MISSING_FILE, "cannot read missing.toml"),
        (["missing.graphml"], ExitCode.MISSING_FILE, "missing.graphml: no such file"),
        (["ring", "8", "--out", "ring.pdf"], ExitCode.WRONG_VALUE, "that ends with .png or .svg"),
        (["ring", "8", "--out", "no/where.svg"], ExitCode.WRONG_VALUE, "in a directory that is th"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_a_code(
    words: list[str], code: ExitCode, sentence: str
) -> None:
    done = show(*words)
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    last: Any = done.stderr.splitlines()[-1]
    assert last.startswith("actorfl: ")
    assert sentence in last


def test_a_file_whose_name_does_not_say_what_it_holds_is_refused_with_those_that_do(
    tmp_path: Path,
) -> None:
    (tmp_path / "roads.csv").write_text("a,b\n")
    result = show(tmp_path / "roads.csv")
    assert result.exit_code == ExitCode.UNKNOWN_KEY
    assert result.stderr.endswith(
        "a topology is read from files that end with one of .edgelist, .edges, .graphml, .toml\n"
    )


def test_what_a_configuration_is_changed_by_is_called_by_where_it_was_written(
    tmp_path: Path,
) -> None:
    (tmp_path / "run.toml").write_text(CONFIGURATION)
    done = show(tmp_path / "run.toml", "topology.nods=3")
    assert done.exit_code == ExitCode.UNKNOWN_KEY
    assert "unknown key `nods` in `topology` of the command line; did you mean" in done.stderr


def test_a_configuration_without_a_topology_says_so(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('task = "digits"\n')
    done = show(tmp_path / "run.toml")
    assert done.exit_code == ExitCode.WRONG_VALUE
    assert "needs the key `topology` (it is no configuration of a run)" in done.stderr


@pytest.mark.parametrize(
    "graph",
    [RingGraph(6), TorusGraph(12), ExponentialGraph(8), Vehicles(12), RegularGraph(10, degree=3)],
    ids=lambda graph: type(graph).__name__,
)  # fmt: skip
def test_a_picture_is_the_same_each_time(graph: RingGraph, tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for path in (first, second):
        picture.check(path)
        picture.draw(graph, path)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text().count("<use") >= len(graph.names)


def test_a_picture_is_drawn_beside_the_text(tmp_path: Path) -> None:
    done = show("ring", "6", "--out", tmp_path / "ring.png")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "ring.png").read_bytes().startswith(b"\x89PNG")
    assert done.stdout.startswith("RingGraph, 6 nodes")


def test_a_picture_in_which_nothing_could_be_seen_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "_LINKS_MAX", 10)
    with pytest.raises(
        WrongValue, match="a graph in a picture must be of 10 links at most, got 12"
    ):
        picture.draw(RingGraph(6), tmp_path / "ring.svg")


def test_a_centre_is_no_graph() -> None:
    with pytest.raises(Misfit, match="Star has a centre"):
        report_on(Star(3), Uniform())
