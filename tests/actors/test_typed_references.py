"""References with a class, in graphs that run."""

from __future__ import annotations

from collections import namedtuple
from typing import Any, assert_type

import pytest

from actors import (
    ActorGraph,
    ActorRef,
    Deployment,
    GraphError,
    Handle,
    Inline,
    Live,
    Process,
    Processes,
    Simulated,
    run,
)
from tests.actors.cats import (
    Cat,
    Found,
    FriendsName,
    Introduce,
    Keeper,
    Kitten,
    Name,
)

Pair = namedtuple("Pair", "one other")  # noqa: PYI024  (the untyped one is rebuilt like the typed)


def friends() -> tuple[ActorGraph, Handle[Cat], list[Handle[Kitten]]]:
    g = ActorGraph("house")
    with g.supervisor("root", place=Process()):
        tom = g.link("tom0", Kitten)
        mia = g.actor("mia", Cat, friend=tom)
        g.actor("keeper", Keeper, anything={mia, tom}, by_name={"a": [tom]})
        toms = g.actors("tom{}", 2, Kitten, age=3)
    return g, mia, toms


async def talk(live: Live, mia: Handle[Cat], toms: list[Handle[Kitten]]) -> list[str]:
    assert_type(live[mia], ActorRef[Cat])
    assert_type(live[toms[0]], ActorRef[Kitten])
    assert_type(live["mia"], ActorRef)
    assert live[mia] is live["mia"]
    cat: ActorRef[Cat] = live[toms[1]]  # a kitten is a cat
    said = [await live[mia].ask(Introduce(cat, {"a": live[toms[0]]}), timeout=10)]
    found = await live["tom1"].ask(Found(), timeout=10)
    assert_type(await cat.ask(Found(), timeout=10), ActorRef[Cat])
    assert found == cat
    said.append(await found.ask(Name(), timeout=10))
    said.append(await live["mia"].ask(FriendsName(), timeout=10))
    return said


@pytest.mark.parametrize("on", [Inline(), Processes(2), Simulated(2)], ids=str)
def test_references_with_a_class_travel_in_messages_replies_and_arguments(on: Deployment) -> None:
    async def main() -> list[str]:
        g, mia, toms = friends()
        async with g.start(on) as live:
            return await talk(live, mia, toms)

    assert run(main(), on=on) == ["tom1 tom0", "tom1", "tom0"]


async def test_who_is_not_in_a_running_graph_is_said_with_who_is() -> None:
    g, mia, _ = friends()
    _, other, _ = friends()
    async with g.start() as live:
        assert live[mia].name == "mia"
        with pytest.raises(
            GraphError, match=r"no actor 'tom7'; did you mean 'tom1'\? there are mia"
        ):
            live["tom7"]
        with pytest.raises(GraphError, match="<Handle mia: Cat> is of graph 'house', and this is"):
            live[other]


async def test_one_graph_can_run_twice_at_the_same_time() -> None:
    g, mia, _ = friends()
    async with g.start() as one_, g.start() as other:
        assert one_[mia] != other[mia]
        assert await one_[mia].ask(FriendsName(), timeout=10) == "tom0"
        assert await other[mia].ask(FriendsName(), timeout=10) == "tom0"


def test_a_reference_with_a_class_has_no_attributes_of_its_own() -> None:
    system: Any = None
    ref = ActorRef[Cat](system, "n", "/a", 2)
    assert not hasattr(ref, "__dict__")
    assert ref == ActorRef(system, "n", "/a", 2)


def test_handles_in_containers_become_references_of_the_same_containers() -> None:
    from actors.declared import linked

    g, mia, toms = friends()
    names = {mia, Pair(toms[0], (toms[1],)).other[0]}
    assert linked(names, lambda h: h.name) == {"mia", "tom1"}  # type: ignore[arg-type, return-value]
    pair = linked(Pair(mia, [toms[0], 7]), lambda h: h.name)  # type: ignore[arg-type, return-value]
    assert pair == Pair("mia", ["tom0", 7])
    assert isinstance(pair, Pair)
    assert g
