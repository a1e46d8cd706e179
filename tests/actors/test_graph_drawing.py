"""Graphs as text and as SVG: everything is shown, nothing covers anything else."""
# ruff: noqa: RUF001  (a multiplication sign is what is drawn)

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from actors import Actor, ActorGraph, GraphError, Inline, Process, Processes, one_for_one
from actors.drawing import lay_out
from actors.outline import outline
from examples.shop.shop import Packer, Store, declared
from tests.actors.cats import Cat, Dog, Keeper

SVG = "{http://www.w3.org/2000/svg}"


def staffed(packers: int) -> ActorGraph:
    g = ActorGraph("shop")
    with g.supervisor("root", one_for_one(5, per=60)):
        store = g.actor("store", Store, capacity=1, place=Process("store"))
        with g.supervisor("pool", place=Process()):
            packing = g.actors("packer{}", packers, Packer, store=store)
        g.actor("keeper", Keeper, anything=[*packing, store], anyone=store, restart="transient")
    return g


def texts(file: Path) -> list[str]:
    return [one.text or "" for one in ET.parse(file).iter(f"{SVG}text")]


def test_the_text_shows_strategies_classes_places_and_links() -> None:
    assert str(declared()).splitlines() == [
        "shop: 5 actors, 2 supervisors",
        "└─ root  one_for_one, 5 in 60 s",
        "   ├─ store  Store",
        "   └─ pool  rest_for_one, 3 in 60 s",
        "      ├─ packer0  Packer, any process  store -> store",
        "      ├─ packer1  Packer, any process  store -> store",
        "      ├─ packer2  Packer, any process  store -> store",
        "      └─ packer3  Packer, any process  store -> store",
    ]


def test_many_alike_take_one_line_and_a_deployment_says_where() -> None:
    assert staffed(200).text(Processes(12)).splitlines() == [
        "shop: 202 actors, 2 supervisors, processes=12",
        "└─ root  one_for_one, 5 in 60 s",
        "   ├─ store  Store, process store",
        "   ├─ pool  one_for_one, 3 in 60 s",
        "   │  └─ packer{} × 200  Packer, 12 processes p0 … p11  store -> store",
        "   └─ keeper  Keeper, transient  anything -> packer{} × 200  anything, anyone -> store",
    ]
    assert "packer{} × 6  Packer, processes p0 p1  store" in staffed(6).text(Processes(2))
    assert "packer{} × 200  Packer  store -> store" in staffed(200).text(Inline())


def test_actors_that_differ_in_more_than_a_number_keep_their_own_lines() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        for i in range(8):
            g.actor(f"cat{i}", Cat if i % 2 else Dog)
        mia, tom = g.actor("mia", Cat), g.actor("tom", Cat)
        for i in range(8):
            g.actor(f"kitten{i}", Cat, friend=tom if i < 6 else mia)
    lines = [line.split("─ ")[1].split("  ")[0] for line in g.text().splitlines()[2:]]
    alone = [*(f"cat{i}" for i in range(8)), "mia", "tom"]
    assert lines == [*alone, "kitten{} × 6", "kitten6", "kitten7"]


def test_links_of_a_set_are_shown_in_the_order_of_their_names() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        names = [f"{letter}-cat" for letter in "qwertyuiopasdfgh"]
        g.actor("keeper", Keeper, anything={g.actor(name, Cat) for name in names})
    line = next(line for line in g.text().splitlines() if "keeper" in line)
    assert [part.split("  ")[0] for part in line.split(" -> ")[1:]] == sorted(names)


def test_the_drawing_names_everything_and_is_the_same_each_time(tmp_path: Path) -> None:
    declared().draw(tmp_path / "a.svg")
    declared().draw(str(tmp_path / "b.SVG"))
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.SVG").read_bytes()
    shown = texts(tmp_path / "a.svg")
    assert {"shop", "root", "pool", "store", *(f"packer{i}" for i in range(4))} <= set(shown)
    assert {"one_for_one, 5 in 60 s", "rest_for_one, 3 in 60 s"} <= set(shown)
    assert shown.count("Packer, any process") == 4
    arrows = list(ET.parse(tmp_path / "a.svg").iter(f"{SVG}circle"))
    assert len(arrows) == 4  # one joint for each link
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.SVG"]


def test_what_xml_cannot_hold_is_written_another_way(tmp_path: Path) -> None:
    odd: Any = type("A<b>&\x01\"'", (Actor,), {})
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actor("mia", odd)
    g.draw(tmp_path / "a.svg")
    assert "A<b>&?\"'" in texts(tmp_path / "a.svg")


def test_long_names_are_cut_in_the_drawing(tmp_path: Path) -> None:
    long: Any = type("C" * 300, (Actor,), {})
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actor("mia", long)
    g.draw(tmp_path / "a.svg")
    assert max(len(text) for text in texts(tmp_path / "a.svg")) <= 60
    assert "C" * 300 in g.text()


def grown(seed: int) -> ActorGraph:
    """Any tree with any links backwards."""
    draw = random.Random(seed)
    g = ActorGraph("grown")
    handles: list[Any] = []

    def below(depth: int) -> None:
        for _ in range(draw.randint(1, 4)):
            index = len(g.declared) + 1000 * draw.randint(1, 9) + draw.randint(0, 9) * 100_000
            if depth < 4 and draw.random() < 0.4:
                with g.supervisor(f"s{draw.getrandbits(40)}"):
                    below(depth + 1)
            elif draw.random() < 0.2:
                handles.extend(g.actors(f"many{index}-{{}}", draw.randint(1, 9), Cat))
            else:
                known = draw.sample(handles, min(len(handles), draw.randint(0, 3)))
                cls = draw.choice([Keeper, type("K" * draw.randint(1, 70), (Keeper,), {})])
                handles.append(g.actor(f"a{index}-{draw.getrandbits(30)}", cls, anything=known))

    for _ in range(draw.randint(1, 3)):
        with g.supervisor(f"s{draw.getrandbits(40)}"):
            below(0)
    return g


@pytest.mark.parametrize("seed", range(40))
def test_no_box_covers_another_and_no_link_runs_through_one(seed: int) -> None:
    shown = outline(grown(seed), None)
    layout = lay_out(shown)
    boxes = list(layout.boxes.values())
    assert len(boxes) == len(list(shown.rows()))
    edges = [(b.x, b.y, b.right, b.y + 44 + (b.right - b.x - b.width)) for b in boxes]
    for i, (x, y, right, lower) in enumerate(edges):
        assert 0 <= x < right <= layout.width
        assert 0 <= y < lower <= layout.height
        for other in edges[:i]:
            assert right <= other[0] or other[2] <= x or lower <= other[1] or other[3] <= y
    lines = []
    for lane in layout.lanes:
        upper, lower = lane.span
        lines.append((lane.x, upper, lane.x, lower))
        lines.append((lane.to.right + 0.1, lane.to.middle - 8, lane.x, lane.to.middle - 8))
        lines.extend(
            (source.right + 0.1, source.middle + 8, lane.x, source.middle + 8)
            for source in lane.sources
        )
        assert lane.x < layout.width
    for x1, y1, x2, y2 in lines:
        for x, y, right, lower in edges:
            assert x2 < x or right < x1 or y2 < y or lower < y1
    for i, lane in enumerate(layout.lanes):
        for other_ in layout.lanes[:i]:  # two lanes at one x never touch
            (upper, lower), (above, below) = lane.span, other_.span
            assert lane.x != other_.x or lower < above or below < upper


@pytest.mark.parametrize("packers", [4, 200])
def test_the_drawing_of_few_and_of_many_fits_a_page(packers: int) -> None:
    layout = lay_out(outline(staffed(packers), Processes(8)))
    assert layout.width < 1200
    assert layout.height < 600


def test_an_empty_graph_can_be_drawn(tmp_path: Path) -> None:
    g = ActorGraph("empty")
    assert str(g) == "empty: 0 actors, 0 supervisors"
    g.draw(tmp_path / "a.svg")
    with g.supervisor("root"):
        pass
    g.draw(tmp_path / "a.svg")
    assert "root" in texts(tmp_path / "a.svg")


def test_a_drawing_replaces_the_one_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "a.svg"
    file.write_text("old")
    declared().draw(file)
    assert file.read_text().endswith("</svg>\n")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    g = declared()
    with pytest.raises(GraphError, match=r"writes SVG alone: end the name in \.svg, or print"):
        g.draw(tmp_path / "shop.png")
    with pytest.raises(GraphError, match=r"finds no directory '.*nowhere'; make it first"):
        g.draw(tmp_path / "nowhere" / "shop.svg")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(GraphError, match="cannot write there: Is a directory; choose another"):
        g.draw(tmp_path / "taken.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.svg"]
    g.link("nobody")
    with pytest.raises(GraphError, match="asked for 'nobody'"):
        g.draw(tmp_path / "shop.svg")
