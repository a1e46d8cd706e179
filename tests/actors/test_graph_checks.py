"""What is wrong with a graph is said in a sentence before anything of it starts."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors import (
    Actor,
    ActorGraph,
    ActorSystem,
    CodeTravelError,
    Deployment,
    FaultPlan,
    GraphError,
    Handle,
    HandlerError,
    Inline,
    Kill,
    Process,
    Processes,
    Simulated,
    UsageError,
    World,
    one_for_one,
    run,
)
from actors.testing import TestProbe
from tests.actors.cats import (
    Basket,
    Bounded,
    Cat,
    Dog,
    Keeper,
    Kitten,
    Name,
    Needy,
    Plan,
    Taker,
)
from transports import Limits, Weights

pytestmark = pytest.mark.timeout(60)


def one(cls: Any, /, **options: Any) -> ActorGraph:
    """A graph of one actor, named mia."""
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actor("mia", cls, **options)
    return g


def keeping(**linked: str | list[str] | dict[str, list[str]] | tuple[str, ...]) -> ActorGraph:
    """A keeper who is linked to some of a cat, a kitten and a dog, by name."""
    g = ActorGraph("house")

    def handles(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: handles(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(handles(v) for v in value)
        return g.link(value)

    with g.supervisor("root"):
        g.actor("keeper", Keeper, **handles(linked))
        g.actor("mia", Cat)
        g.actor("tom", Kitten)
        g.actor("rex", Dog)
    return g


def refused(g: ActorGraph, on: Deployment, sentence: str, kind: type = GraphError) -> None:
    with pytest.raises(kind, match=re.escape(sentence)) as caught:
        g.validate(on)
    assert "\n" not in str(caught.value)


# -- names and options, refused where they are written ---------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "ä", "a/b", None, 7])
def test_what_is_not_a_name_is_refused(name: Any) -> None:
    sentence = f"name {name!r} is not a name: use up to 64 letters"
    with pytest.raises(GraphError, match=re.escape(f"graph's {sentence}")):
        ActorGraph(name)
    g = ActorGraph("house")
    with pytest.raises(GraphError, match=re.escape(f"supervisor's {sentence}")), g.supervisor(name):
        pass
    with (
        g.supervisor("root"),
        pytest.raises(GraphError, match=re.escape(f"actor's {sentence}")),
    ):
        g.actor(name, Cat)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mailbox": 0}, "mailbox=0; give a number of messages, at least 1"),
        ({"mailbox": 2.5}, "mailbox=2.5; give"),
        ({"mailbox": True}, "mailbox=True; give"),
        ({"stop_timeout": 0}, "stop_timeout=0; give a number of seconds above 0"),
        ({"stop_timeout": -1.0}, "stop_timeout=-1.0; give"),
        ({"stop_timeout": math.nan}, "stop_timeout=nan; give"),
        ({"stop_timeout": math.inf}, "stop_timeout=inf; give"),
        ({"stop_timeout": "5"}, "stop_timeout='5'; give"),
        ({"restart": "always"}, "restart='always'; there are permanent, transient, temporary"),
        ({"place": "p0"}, "place='p0', which is no placement; write Process('p0')"),
        ({"place": Process}, "which is no placement; write Process()"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GraphError, match=re.escape(sentence)):
        one(Cat, **options)


def test_what_is_no_strategy_is_refused() -> None:
    g = ActorGraph("house")
    strategy: Any = one_for_one
    none = r"which is none; write one_for_one\(\)"
    with pytest.raises(GraphError, match=none), g.supervisor("root", strategy):
        pass
    none = r"the strategy 'one_for_all', which is none"
    strategy = "one_for_all"
    with pytest.raises(GraphError, match=none), g.supervisor("root2", strategy):
        pass


@pytest.mark.parametrize(("pattern", "count"), [("cat", 2), ("cat{}", 0), ("cat{}", 2.0)])
def test_a_pattern_without_a_place_for_the_number_is_refused(pattern: str, count: Any) -> None:
    g = ActorGraph("house")
    with g.supervisor("root"), pytest.raises(GraphError, match=r"needs a pattern with \{\}"):
        g.actors(pattern, count, Cat)


def test_braces_in_a_pattern_mean_nothing_else() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        assert [h.name for h in g.actors("{}.cat-{}", 2, Cat)] == ["0.cat-0", "1.cat-1"]
        with pytest.raises(GraphError, match="is not a name"):
            g.actors("{}{x}", 2, Cat)


# -- links -----------------------------------------------------------------------------------------


def test_a_link_to_nobody_is_refused_with_the_nearest_name() -> None:
    g = keeping(cat="mai")
    refused(
        g, Inline(),
        "'keeper' is linked by 'cat' to 'mai', which graph 'house' does not have; did you mean "
        "'mia'? there are keeper, mia, tom, rex",
    )  # fmt: skip


def test_a_link_that_nobody_was_given_is_refused_too() -> None:
    g = one(Cat)
    g.link("tom")
    refused(g, Inline(), "link() was asked for 'tom', which graph 'house' does not have; there is")


def test_a_sentence_about_many_names_lists_a_few() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actors("cat{}", 500, Cat)
        g.actor("keeper", Keeper, cat=g.link("cat500"))
    with pytest.raises(GraphError, match=r"did you mean 'cat\d+'\? .* and 489 more$") as caught:
        g.validate(Inline())
    assert len(str(caught.value)) < 300


def test_a_circle_of_links_is_refused_and_spelled_out() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actor("first", Dog)
        g.actor("mia", Cat, friend=g.link("tom"))
        g.actor("tom", Cat, friend=g.link("kim"))
        g.actor("kim", Cat, friend=g.link("mia"))
        g.actor("last", Cat, friend=g.link("mia"))
    refused(
        g, Inline(),
        "constructor arguments lead in a circle: mia -> tom -> kim -> mia; send one of them the "
        "other's reference in a message instead, or let peers know each other by link(..., "
        "mutual=True)",
    )  # fmt: skip
    assert "mia  Cat  friend -> tom" in g.text()  # a circle can be looked at


def test_peers_may_know_each_other_but_nobody_itself() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actor("mia", Cat, friend=g.link("tom", mutual=True))
        g.actor("tom", Cat, friend=g.link("mia", mutual=True))
    g.validate(Inline())
    with g.supervisor("other"):
        g.actor("kim", Cat, friend=g.link("kim", mutual=True))
    refused(g, Inline(), "'kim' is linked to itself; in its handlers it is self.ref")


def test_a_link_to_itself_is_refused() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        g.actor("mia", Cat, friend=g.link("mia"))
    refused(g, Inline(), "'mia' is linked to itself; in its handlers it is self.ref")


def test_long_chains_of_links_are_fine() -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        before = g.actor("cat0", Cat)
        for i in range(1, 3000):
            before = g.actor(f"cat{i}", Cat, friend=before)
    g.validate(Inline())


@pytest.mark.parametrize(
    "linked",
    [
        {"cat": "mia"},
        {"cat": "tom"},
        {"noted": "tom"},
        {"cats": ["mia", "tom"]},
        {"cats": ("mia", "tom")},
        {"by_name": {"a": ["mia"], "b": ["tom"]}},
        {"pair": ("mia", "rex")},
        {"either": "rex"},
        {"either": "tom"},
        {"anyone": "rex"},
        {"anything": ["rex", "mia"]},
        {"unsaid": "rex"},
    ],
)
@pytest.mark.parametrize("on", [Inline(), Processes(1)], ids=str)
def test_links_of_the_annotated_class_are_fine(linked: Any, on: Deployment) -> None:
    keeping(**linked).validate(on)


@pytest.mark.parametrize(
    ("linked", "sentence"),
    [
        ({"cat": "rex"}, "'cat' of 'keeper' is linked to 'rex', Dog, but Keeper wants "),
        ({"noted": "rex"}, "'noted' of 'keeper' is linked to 'rex'"),
        ({"cats": ["mia", "rex"]}, "'cats' of 'keeper' is linked to 'rex', Dog"),
        ({"by_name": {"a": ["mia"], "b": ["rex"]}}, "'by_name' of 'keeper' is linked to 'rex'"),
        ({"pair": ("rex", "rex")}, "'rex', Dog, but Keeper wants ActorRef[Cat] there"),
        ({"pair": ("mia", "mia")}, "'mia', Cat, but Keeper wants ActorRef[Dog] there"),
        ({"either": "keeper2"}, "Keeper, but Keeper wants ActorRef[Cat | Dog] | None there"),
        ({"number": "mia"}, "but Keeper wants int there; link another actor, or annotate it"),
        ({"cats": "mia"}, "'cats' of 'keeper' is linked to 'mia', Cat, but Keeper wants "),
    ],
)
def test_links_of_another_class_are_refused(linked: Any, sentence: str) -> None:
    g = keeping(**linked)
    with g.supervisor("second"):
        g.actor("keeper2", Keeper)
    refused(g, Inline(), sentence)


def test_a_link_that_names_its_class_is_held_to_it() -> None:
    for name, fits in (("mia", True), ("tom", True), ("rex", False)):
        g = keeping()
        with g.supervisor("second"):
            g.actor("other", Keeper, anyone=g.link(name, Cat))
        if fits:
            g.validate(Inline())
        else:
            sentence = "to 'rex' as Cat, but that is declared with Dog; make the two agree"
            refused(g, Inline(), f"'other' is linked by 'anyone' {sentence}")


def test_a_handle_where_it_would_stay_one_is_refused() -> None:
    g = ActorGraph("house")
    endless: list[Any] = []
    endless.append(endless)
    with g.supervisor("root"):
        mia = g.actor("mia", Cat)
        g.actor("keeper", Keeper, anything=[Basket(mia)])
        g.actor("other", Keeper, anything=endless)
    refused(g, Inline(), "'anything' of 'keeper' holds a handle in 'inside' of a Basket, where it")
    h = one(Keeper, anything=endless)
    refused(h, Inline(), "'anything' of 'mia' holds containers more than 32 deep, or itself")


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


@pytest.mark.parametrize(
    ("hide", "where"),
    [
        (lambda handle: deque([handle]), "a deque"),
        (lambda handle: {handle: 1}, "a key of a dict"),
        (lambda handle: {"a": [{(1, handle): 1}]}, "a key of a dict"),
        (lambda handle: partial(print, handle), "a partial"),
        (lambda handle: partial(print, end=[handle]), "a list"),
        (lambda handle: Basket([{"a": handle}]), "a dict"),
        (lambda handle: Basket(Basket(handle)), "'inside' of a Basket"),
        (lambda handle: [Holder(handle)], "'held' of a Holder"),
        (lambda handle: Holder({handle}), "a set"),
    ],
)
def test_a_handle_is_found_wherever_it_would_stay_one(
    hide: Callable[[Any], Any], where: str
) -> None:
    g = ActorGraph("house")
    with g.supervisor("root"):
        mia = g.actor("mia", Cat)
        g.actor("keeper", Keeper, anything=hide(mia))
    refused(g, Inline(), f"'anything' of 'keeper' holds a handle in {where}, where it would not")


def test_another_graph_and_objects_that_hold_themselves_are_fine_arguments() -> None:
    other = one(Cat)
    other.link("mia")
    holder = Holder([other, range(3), Cat, len])
    holder.held.append(holder)
    for anything in (other, holder, Basket(holder), {"a": list(range(200_000))}):
        one(Keeper, anything=anything).validate(Inline())


# -- placement -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "on", "workers"),
    [
        ("p4", Processes(4), "processes=4 has the worker processes p0 to p3"),
        ("p2", Processes(2), "processes=2 has the worker processes p0 and p1"),
        ("p1", Processes(1), "processes=1 has the worker process p0"),
        ("p9", Simulated(4), "simulated=4 has the worker processes p0 to p3"),
        ("p" + "9" * 60, Processes(4), "p0 to p3; take one of them, Process() for any"),
    ],
)
def test_a_worker_process_that_does_not_exist_is_refused(
    place: str, on: Deployment, workers: str
) -> None:
    g = one(Cat, place=Process(place))
    refused(g, on, f"'mia' is placed in process {place!r}, which does not exist: ")
    refused(g, on, workers)
    g.validate(Inline())  # where placements mean nothing
    with pytest.raises(GraphError, match="does not exist"):
        g.text(on)


@pytest.mark.parametrize("place", ["p0", "p3", "p04", "pool", "P9"])
def test_worker_processes_and_other_names_are_places(place: str) -> None:
    one(Cat, place=Process(place)).validate(Processes(4))


def test_a_process_named_as_the_launchers_is_refused() -> None:
    refused(
        one(Cat, place=Process("house")), Processes(1), "that is the name of the launcher's own"
    )
    g = ActorGraph("p0")
    with g.supervisor("root"):
        g.actor("mia", Cat, place=Process())
    refused(g, Processes(1), "graph 'p0' is named like one of the worker processes of processes=1")
    g.validate(Inline())


def test_a_process_whose_name_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="'a b' is not a name"):
        Process("a b")


def test_environments_and_faults_for_nobody_are_refused_with_what_there_is() -> None:
    g = one(Cat, place=Process("store"))
    refused(g, Processes(1, env={"stroe": {}}), "'stroe', which is neither a process nor an actor")
    refused(g, Processes(1, env={"stroe": {}}), "did you mean 'store'? there are mia, store")
    faults = FaultPlan(Kill("p0", 1.0))
    refused(g, Processes(1, faults=faults), "process 'p0', which does not exist; there is store")


# -- what cannot travel ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"call": lambda: 1}, "'call' of Taker is a lambda, and functions do not travel"),
        ({"call": len}, "'call' of Taker is the function 'len', and functions do not travel"),
        ({"anything": [lambda: 1]}, "'anything' of Taker does not travel: list cannot be encoded"),
        ({"anything": object()}, "a builtins.object does not travel"),
        ({"unsaid": 1}, "the parameter 'unsaid' of Taker.__init__ has no annotation"),
        ({"text": 7}, "'text' of Taker does not arrive as the str that it is annotated with"),
        ({"number": "7"}, "'number' of Taker does not arrive as the int"),
        (
            {"plan": {"rounds": "x"}},
            "'plan' of Taker does not arrive as the tests.actors.cats.Plan",
        ),
        ({"anything": Weights.of({"w": np.zeros(2)})}, "holds Weights, which travel in messages"),
    ],
)
def test_arguments_that_cannot_travel_are_refused_where_they_have_to(
    arguments: dict[str, Any], sentence: str
) -> None:
    g = one(Taker, place=Process(), **arguments)
    g.validate(Inline())
    with pytest.raises(CodeTravelError, match=r"^'mia' cannot be placed in process 'p0': ") as no:
        g.validate(Processes(2))
    assert sentence in str(no.value)


def test_an_open_file_is_refused_with_what_to_do() -> None:
    with Path(__file__).open() as file:
        g = one(Taker, place=Process("q"), anything=file)
        refused(g, Processes(1), "'anything' of Taker is an open file", CodeTravelError)
        refused(g, Processes(1), "give its path, and open it in on_start", CodeTravelError)


def test_arguments_of_the_annotated_type_travel() -> None:
    g = one(Taker, place=Process(), plan=Plan(3), text="a", number=7, anything={"a": [1, None]})
    g.validate(Processes(1))


def test_arguments_over_the_size_of_a_message_are_refused() -> None:
    most = Limits().max_message
    one(Taker, place=Process(), text="x" * (most - (64 << 10))).validate(Processes(1))
    g = one(Taker, place=Process(), text="x" * most, number=1)
    refused(g, Processes(1), f"('text' {most + 5} of them), over the ", CodeTravelError)


async def test_the_bound_on_arguments_is_that_of_the_world() -> None:
    g = one(Taker, place=Process(), text="x" * 100_000)
    world = World(limits=Limits(max_message=100_000))
    with pytest.raises(CodeTravelError, match="its arguments take 100"):
        async with g.start(Processes(1), world=world):
            pass


def test_a_class_that_cannot_cross_is_named_with_its_actor() -> None:
    class Local(Actor):
        pass

    g = one(Local, place=Process())
    refused(g, Processes(1), "'mia' cannot be placed in process 'p0': 'Local' is", CodeTravelError)


# -- classes and arguments -------------------------------------------------------------------------


def test_a_class_that_is_no_actor_is_refused() -> None:
    refused(one(int), Inline(), "'mia' is declared with <class 'int'>, which is not an actor class")
    refused(one("Cat"), Inline(), "'mia' is declared with 'Cat', which is not an actor class")


def test_a_parameter_that_the_graph_takes_for_itself_is_told_of() -> None:
    sentence = "Bounded needs 'mailbox'; 'mailbox' is an option of the call itself: rename the"
    refused(one(Bounded, mailbox=3), Inline(), sentence)


@pytest.mark.parametrize(
    ("cls", "given", "sentence"),
    [
        (Needy, {"stroe": 1}, ("Needy takes no argument 'stroe' (did you mean 'store'? it takes "
         "store, label) and needs 'store'")),
        (Needy, {"label": "x"}, "Needy needs 'store'; give it by name"),
        (Cat, {"mailbx": 5}, ("Cat takes no argument 'mailbx' (did you mean 'mailbox'? it takes "
         "age, friend)")),
        (Dog, {"age": 5}, "Dog takes no argument 'age' (it takes none)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_before_one_that_is_missing(
    cls: Any, given: dict[str, Any], sentence: str
) -> None:
    refused(one(cls, **given), Inline(), f"'mia' cannot be made: {sentence}")
    with pytest.raises(UsageError, match=re.escape(f"'tom' cannot be made: {sentence}")):
        run(start_child("tom", cls, **given), on=Simulated(1))


async def start_child(name: str, cls: Any, **given: Any) -> None:
    g = one(Cat)
    async with g.start(Simulated(1)) as live:
        await live.children("root").start(name, cls, **given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"friend": "tom"}, ("'friend' of 'mia' is 'tom', but Cat wants ActorRef[Animal] | None "
         "there; give the handle that actor() returned, or link('tom') of the graph")),
        ({"friend": Dog}, "'friend' of 'mia' is the class Dog, but Cat wants ActorRef[Animal]"),
        ({"friend": 5}, "'friend' of 'mia' is 5, but Cat wants"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("on", [Inline(), Processes(1)], ids=str)
def test_a_name_where_a_reference_is_wanted_is_refused(
    on: Deployment, given: dict[str, Any], sentence: str
) -> None:
    refused(one(Cat, place=Process(), **given), on, sentence)


def test_a_name_within_a_container_of_references_is_refused() -> None:
    for given in ({"cats": ["tom"]}, {"by_name": {"a": ["tom"]}}, {"pair": ("tom", None)}):
        (parameter,) = given
        refused(
            one(Keeper, **given), Inline(), f"{parameter!r} of 'mia' is 'tom', but Keeper wants "
            "ActorRef[Cat] there",
        )  # fmt: skip
    allowed: dict[str, Any]
    for allowed in ({"anything": "tom"}, {"unsaid": ["tom"]}, {"cats": []}, {"cat": None}):
        one(Keeper, **allowed).validate(Inline())


async def test_a_name_where_a_spawned_actor_wants_a_reference_is_refused() -> None:
    async with ActorSystem("node") as system:
        handle: Handle[Cat] = ActorGraph("other").link("tom")
        wrong: Any
        for wrong, hint in (("tom", "that may be an actor's name"), (handle, "live['tom']")):
            with pytest.raises(UsageError, match=r"'friend' of 'mia' is .* wants") as caught:
                await system.spawn("mia", Cat, friend=wrong)
            assert hint in str(caught.value)
        with pytest.raises(UsageError, match=r"'friend' of 'mia' is <TestProbe.*give its \.ref"):
            await system.spawn("mia", Cat, friend=await TestProbe.on(system))
        with pytest.raises(UsageError, match=r"Cat takes no argument 'aeg' \(did you mean 'age'"):
            await system.spawn("mia", Cat, aeg=3)
        await system.spawn("mia", Cat, friend=await system.spawn("rex", Dog))


def test_handlers_that_do_not_fit_are_refused_as_such() -> None:
    class Odd(Actor):
        def name(self, message: Name) -> int:
            return 1

    with pytest.raises(HandlerError, match="returns int, but Name is a Message"):
        one(Odd).validate(Inline())
