"""A call that is given what cannot be meant says so in a sentence, before anything happens."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pykka
import pytest

from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorSystem,
    CannotEncode,
    Children,
    DeadLetter,
    Deployment,
    GraphError,
    Inline,
    Live,
    Message,
    Process,
    Processes,
    ServiceKey,
    Simulated,
    UsageError,
    run,
)
from actors.testing import TestProbe, dead_letters, record, systems

pytestmark = pytest.mark.timeout(60)

EVERYWHERE = pytest.mark.parametrize(
    "on", [Inline(), Simulated(1), Processes(1)], ids=["inline", "simulated", "processes"]
)


class Get(Message[int]):
    number: int = 0


class Lost(Message["Nowhere"]):  # type: ignore[name-defined]  # what a user mistypes
    pass


class Unsaid(Message):  # type: ignore[type-arg]  # as a user forgets it
    pass


class Store(Actor):
    def get(self, message: Get) -> int:
        return message.number


class Within(Message[str]):
    """Has an actor make one of the calls of `OF_ACTORS`."""

    call: str


class Caller(Actor):
    async def within(self, message: Within) -> str:
        try:
            made = OF_ACTORS[message.call][0](self)
            if made is not None:
                await made
        except UsageError as error:
            return str(error)
        return "nothing"


class FromThread(Message[str]):
    store: ActorRef[Store]
    how: str


class Threaded(pykka.ThreadingActor):
    def from_thread(self, message: FromThread) -> str:
        store: Any = message.store
        try:
            match message.how:
                case "tell":
                    store.tell("hello")
                case "class":
                    store.ask_blocking(Get, timeout=5)
                case "timeout":
                    store.ask_blocking(Get(), timeout=None)
        except UsageError as error:
            return str(error)
        return "nothing"


def declared() -> ActorGraph:
    g = ActorGraph("shop")
    with g.supervisor("root"):
        g.actor("store", Store, place=Process())
        g.actor("threaded", Threaded)
    return g


async def called(call: Callable[[], Any]) -> None:
    made = call()
    if isinstance(made, Awaitable):
        await made


async def refused(call: Callable[[], Any], sentence: str, kind: type = UsageError) -> None:
    with pytest.raises(kind, match=re.escape(sentence)) as caught:
        await called(call)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def told(call: Callable[[Live], Awaitable[None]], on: Deployment) -> None:
    async def main() -> None:
        async with declared().start(on) as live:
            await call(live)
            assert await live["store"].ask(Get(5), timeout=10) == 5  # nothing came of it

    run(main(), on=on)


@EVERYWHERE
def test_what_is_no_message_is_neither_told_nor_asked(on: Deployment) -> None:
    async def main(live: Live) -> None:
        store: Any = live["store"]
        for _ in range(2):  # what was seen once is not taken for known
            for call in (store.tell, store.send):
                await refused(
                    partial(call, "hello"),
                    "tell() takes a message, not 'hello'; declare `c",
                )
                await refused(partial(call, Get), "the class Get; write tell(Get(…))")
                await refused(partial(call, object()), "tell() takes a message, not <object")
                await refused(partial(call, Store), "not the class Store; derive one, as in `c")
            await refused(
                lambda: store.ask("hello", timeout=1), "ask() takes a message, not 'hello'"
            )
            await refused(
                lambda: store.ask(Get, timeout=1), "ask() takes a message, not the class Get; "
            )
            await refused(
                lambda: store.ask([Get()], timeout=1), "ask() takes a message, not [Get(num"
            )
        await refused(lambda: store.ask(Lost(), timeout=1), "Lost cannot be asked: name 'Nowhere'")
        await refused(lambda: store.ask(Unsaid(), timeout=1), "Unsaid does not say what answers it")

    told(main, on)


@EVERYWHERE
def test_what_is_no_message_is_not_sent_from_a_thread(on: Deployment) -> None:
    async def main(live: Live) -> None:
        for how, sentence in (
            ("tell", "tell() takes a message, not 'hello'; "),
            ("class", "ask_blocking() takes a message, not the class Get; write ask_blocking(Get("),
            ("timeout", "ask_blocking(timeout=None) is no time to wait"),
        ):
            ask = FromThread(live["store"], how)
            assert sentence in await live["threaded"].ask(ask, timeout=10)

    told(main, on)


NO_TIMEOUTS: list[Any] = [None, -1, -0.1, math.nan, True, False, "5", [1], -math.inf]


@pytest.mark.parametrize("timeout", NO_TIMEOUTS, ids=map(repr, NO_TIMEOUTS))
async def test_what_is_no_time_to_wait_is_refused_wherever_one_waits(timeout: Any) -> None:
    async with ActorSystem("node") as system:
        store = await system.spawn("store", Store)
        probe = await TestProbe.on(system)
        receptionist, key = system.receptionist, ServiceKey("stores")
        wrong = f"(timeout={timeout!r}) is no time to wait; give a number of seconds from 0"
        for name, call in {
            "ask": lambda: store.ask(Get(), timeout=timeout),
            "get_state": lambda: system.debug.get_state(store, timeout=timeout),
            "receptionist.find": lambda: receptionist.find(key, timeout=timeout),
            "receptionist.register": lambda: receptionist.register(key, store, timeout=timeout),
            "Children": lambda: Children(store, timeout=timeout),
            "expect": lambda: probe.expect_message(Get, timeout=timeout),
        }.items():
            await refused(call, f"{name}{wrong}")
        await refused(lambda: probe.expect_no_message(for_=timeout), "is no time to wait")
        await refused(lambda: system.shutdown.set_timeout("close", timeout), "is seconds above 0")
        assert await store.ask(Get(1), timeout=1) == 1
        assert await store.ask(Get(1), timeout=math.inf) == 1


# What an actor calls: by name what is called, and what is said.
OF_ACTORS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "stop a name": (lambda a: a.stop("child"), "stop() takes an ActorRef, not 'child'; that may be"),
    "stop nobody": (lambda a: a.stop(""), "stop() takes an ActorRef, not ''"),
    "watch a name": (lambda a: a.watch("child"), "watch() takes an ActorRef, not 'child'"),
    "watch itself": (lambda a: a.watch(a), "give its .ref"),
    "watch a class": (lambda a: a.watch(Store), "not the class Store; that is a class: give the"),
    "unwatch": (lambda a: a.unwatch(None), "unwatch() takes an ActorRef, not None"),
    "spawn an instance": (lambda a: a.spawn("b", Store()), "is not an actor class"),
    "spawn no name": (lambda a: a.spawn(["b"], Store), "['b'] is not a name"),
    "spawn with more": (lambda a: a.spawn("b", Store, size=3), "Store takes no argument 'size'"),
    "timer of text": (lambda a: a.timers.start("k", "x", after=1), "timers.start() takes a message"),
    "timer of a class": (lambda a: a.timers.start("k", Get, after=1), "write timers.start(Get(…))"),
    "timer's key": (lambda a: a.timers.start([], Get(), after=1), "takes the key as a string"),
    "timer at no time": (lambda a: a.timers.start("k", Get(), after=None), "after=None, every"),
    "timer at truth": (lambda a: a.timers.start("k", Get(), after=True), "after=True, every"),
    "timer every text": (lambda a: a.timers.start("k", Get(), after=0, every="1"), "every='1'"),
    "stash": (lambda a: a.stash.stash("x"), "stash() takes a message, not 'x'"),
    "pipe nothing": (lambda a: a.pipe_to_self(5, Within), "takes what can be awaited, not 5"),
    "pipe a function": (lambda a: a.pipe_to_self(later, Within), "awaited, not <function later"),
    "pipe to nothing": (lambda a: a.pipe_to_self(asyncio.Future(), 5), "function as done=, not 5"),
    "publish": (lambda a: a.publish(5), "publish() takes the kind of event as a string, not 5"),
    "snapshots": (lambda a: a.snapshots(5), "snapshots() takes a name as a string, not 5"),
}  # fmt: skip


async def later() -> None:
    pass


@pytest.mark.parametrize("call", OF_ACTORS)
async def test_what_an_actor_gives_its_own_calls_is_looked_at(call: str) -> None:
    async with ActorSystem("node") as system:
        caller = await system.spawn("caller", Caller)
        assert OF_ACTORS[call][1] in await caller.ask(Within(call), timeout=5)


NO_DEPLOYMENTS: list[tuple[Any, str]] = [
    (2, "on=2 is no deployment; write Processes(2)"),
    (Processes, "on=the class Processes is no deployment; write Processes(2)"),
    (Inline, "write Inline()"),
    ("simulated", "on='simulated' is no deployment; write Simulated(2)"),
    (Process(), "write Processes(2); Process() is a place= within it"),
    (2.5, "write Inline(), Processes(2) or Simulated(2)"),
    (0, "write Inline(), Processes(2) or Simulated(2)"),
]


@pytest.mark.parametrize(("on", "sentence"), NO_DEPLOYMENTS)
async def test_what_is_no_deployment_is_refused_wherever_one_is_given(
    on: Any, sentence: str, tmp_path: Path
) -> None:
    g = declared()
    await refused(lambda: g.validate(on), sentence)
    await refused(lambda: g.text(on), sentence)
    await refused(lambda: g.draw(tmp_path / "a.svg", on), sentence)
    await refused(lambda: g.start(on).__aenter__(), sentence)
    await refused(lambda: systems("a", on=on).__aenter__(), sentence)


def test_what_is_run_is_a_coroutine() -> None:
    wrong: Any = later
    with pytest.raises(UsageError, match=re.escape("write run(later())")):
        run(wrong)
    wrong = None
    with pytest.raises(UsageError, match=re.escape("run() takes a coroutine, not None")):
        run(wrong)


async def test_a_loop_within_a_loop_is_refused() -> None:
    await refused(
        lambda: run(later()), "run(later()) starts a loop, and one runs here already; wit"
    )


@pytest.mark.parametrize(("on", "sentence"), NO_DEPLOYMENTS)
def test_what_is_no_deployment_is_not_run_on(on: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        run(later(), on=on)


async def test_a_declaration_says_what_it_was_given() -> None:
    g: Any = declared()
    handle = g.link("store")
    for call, sentence in (
        (lambda: g.actors(5, 2, Store), "actors(5, 2) needs a pattern"),
        (lambda: g.link(handle), "link() takes a name; <Handle store: of any class> is a handle"),
        (lambda: g.link(None), "the link's name None is not a name"),
        (lambda: g.link("store", Store()), "link('store') takes a class of actors, not <"),
    ):
        await refused(call, sentence, GraphError)
    await refused(lambda: g.draw(5), "draw() takes the path of a file, not 5")
    for given, sentence in (
        ({"before": 5}, "start() takes a function as before=, not 5"),
        ({"cluster": 5}, "start() takes cluster= as a string, not 5"),
        ({"world": "sim"}, "start() takes a World as world=, not 'sim'"),
    ):
        await refused(g.start(**given).__aenter__, sentence)


async def test_a_handle_that_is_used_as_a_reference_says_where_that_is() -> None:
    handle: Any = declared().link("store")
    with pytest.raises(AttributeError, match=r"the handle of 'store' has no 'tell': .* live\['st"):
        handle.tell(Get())
    with pytest.raises(AttributeError, match="'Handle' object has no attribute 'nonsense'"):
        handle.nonsense  # noqa: B018
    assert not hasattr(handle, "ref")


@EVERYWHERE
def test_a_graph_that_runs_says_what_it_was_given(on: Deployment) -> None:
    async def main(live: Live) -> None:
        wrong: Any = live
        for call, sentence in (
            (lambda: wrong[5], "has no actor 5; there are store, threaded"),
            (lambda: wrong[["store"]], "has no actor ['store']; did you mean 'store'?"),
            (lambda: wrong[Store], "has no actor the class Store; there are"),
            (lambda: wrong.children(5), "has no supervisor 5; there is root"),
            (lambda: wrong.children(["root"]), "has no supervisor ['root']"),
        ):
            await refused(call, sentence, GraphError)
        await refused(lambda: wrong.until(5), "until() takes what can be awaited, not 5")
        await refused(lambda: wrong.until(later), "call it: later()")
        await refused(lambda: wrong.state(limit=None), "state(limit=None) is no time to wait")
        children = live.children("root")
        given: Any
        for given in (5, None, ["a"]):
            await refused(partial(children.terminate, given), "a child's name as a str")
            await refused(partial(children.restart, given), "a child's name as a str")
            await refused(partial(children.start, given, Store), "is not a name")
        given = Store()
        await refused(lambda: children.start("new", given), "is not an actor class")
        given = 5
        await refused(lambda: children.start("new", Store, node=given), "takes node= as a string")
        given = "root"
        await refused(lambda: Children(given), "Children() takes an ActorRef, not 'root'")
        if live.processes is not None:
            for ask in (live.processes.kill, live.processes.pid):
                await refused(partial(ask, "p9"), "there is no process named 'p9'; there is p0")
                given = 0
                await refused(partial(ask, given), "there is no process named 0; ")

    told(main, on)


async def test_a_system_says_what_it_was_given() -> None:
    async with ActorSystem("node") as node:
        system: Any = node
        store: Any = await system.spawn("store", Store)
        key_of: Any = ServiceKey
        receptionist, key = system.receptionist, ServiceKey("stores")
        for call, sentence in (
            (lambda: system.stop("store"), "stop() takes an ActorRef, not 'store'; that may be an"),
            (lambda: system.spawn(5, Store), "5 is not a name"),
            (lambda: system.debug.suspend("store"), "suspend() takes an ActorRef, not 'store'"),
            (lambda: system.debug.resume(None), "resume() takes an ActorRef, not None"),
            (lambda: system.debug.get_state(Store), "get_state() takes an ActorRef, not the class"),
            (lambda: key_of(5), "ServiceKey() takes its name as a string, not 5"),
            (lambda: receptionist.find("stores"), "write ServiceKey('stores')"),
            (lambda: receptionist.register("stores", store), "receptionist.register() takes a Serv"),
            (lambda: receptionist.register(key, "store"), "takes an ActorRef, not 'store'"),
            (lambda: receptionist.deregister(key, None), "takes an ActorRef, not None"),
            (lambda: receptionist.deregister(None, store), 'not None; write ServiceKey("…")'),
            (lambda: receptionist.subscribe("stores", store), "write ServiceKey('stores')"),
            (lambda: receptionist.subscribe(key, "store"), "takes an ActorRef, not 'store'"),
            (lambda: receptionist.unsubscribe("stores", store), "write ServiceKey('stores')"),
            (lambda: system.events.subscribe("dead", print), "takes a class of events, not 'dead'"),
            (lambda: system.events.subscribe(DeadLetter, None), "takes a function as the callback"),
            (lambda: system.shutdown.add_task("close", "x", later()), "leave out the parentheses"),
            (lambda: system.shutdown.add_task("close", 5, later), "takes a name as a string, not 5"),
        ):  # fmt: skip
            await refused(call, sentence)


async def test_a_probe_says_what_it_was_given() -> None:
    async with ActorSystem("node") as node:
        system: Any = node
        probe: Any = await TestProbe.on(system)
        on: Any = TestProbe.on
        recorded: Any = record
        with dead_letters(system) as strict:
            letters: Any = strict
            for call, sentence in (
                (lambda: on("node"), "TestProbe.on() takes an ActorSystem, not 'node'"),
                (lambda: probe.expect_message(Get()), "messages, not Get(number=0); write Get"),
                (lambda: probe.expect_message("Get"), "give Message or one derived from it"),
                (lambda: probe.fish_for_message(int), "takes a class of messages, not the class int"),
                (lambda: probe.expect_message(Get, where=5), "takes a function as where=, not 5"),
                (lambda: probe.expect_terminated("a"), "expect_terminated() takes an ActorRef"),
                (lambda: probe.watch(probe), "give its .ref"),
                (lambda: probe.unwatch("a"), "unwatch() takes an ActorRef"),
                (lambda: probe.asked(Get), "asked() takes a message, not the class Get"),
                (lambda: probe.when(Get()), "when() takes a class of messages, not Get(number=0)"),
                (lambda: probe.when(Get).reply_with(5), "takes a function as what makes the answer"),
                (lambda: probe.when(Get).fail("no"), "fail() takes an exception, not 'no'"),
                (lambda: recorded(system, "dead"), "record() takes a class of events, not 'dead'"),
                (lambda: recorded("node", DeadLetter), "takes an ActorSystem, not 'node'"),
                (lambda: letters.expect("Get"), "expect() takes a class of messages, not 'Get'"),
                (lambda: letters.expect(to="a"), "expect() takes an ActorRef, not 'a'"),
                (lambda: letters.expect(reason=5), "expect() takes reason= as a string, not 5"),
            ):  # fmt: skip
                await refused(call, sentence)


class Carry(Message[None]):
    what: Any


async def test_what_stands_for_an_actor_in_a_message_is_told_where_its_reference_is() -> None:
    async with ActorSystem("node") as system:
        store = await system.spawn("store", Store)
        far: Any = declared().link("far", Store)
        for what, hint in (
            (far, "holds the handle of a graph in 'what' of a Carry; give the reference instead"),
            (await TestProbe.on(system), "(give its .ref)"),
            (asyncio.get_running_loop().create_future(), "(await it, and give what it results in)"),
        ):
            await refused(partial(store.tell, Carry(what)), hint, CannotEncode)
            await refused(partial(store.ask, Carry(what), timeout=1), hint, CannotEncode)
        await refused(
            partial(store.tell, Carry([far])), "the handle of a graph in a list; give", CannotEncode
        )


async def test_a_thing_of_odd_text_is_refused_as_well() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no text")

    async with ActorSystem("node") as system:
        store: Any = await system.spawn("store", Store)
        await refused(lambda: store.tell(Odd()), "tell() takes a message, not a Odd; declare")
        await refused(lambda: store.tell("x\n" * 500), "not 'x\\nx\\n")


async def test_what_is_told_to_a_dead_node_is_looked_at_too() -> None:
    async with ActorSystem("node") as system:
        gone: Any = ActorRef(system, "elsewhere", "/a", 5)
        with dead_letters(system) as letters:
            await refused(lambda: gone.tell("hello"), "tell() takes a message")
            gone.tell(Get())
            await letters.expect(Get, reason="unreachable")
            await letters.expect_none()


async def test_a_stash_of_no_size_is_refused() -> None:
    size: Any = "5"

    class Small(Caller):
        stash_capacity = size

    async with ActorSystem("node") as system:
        caller = await system.spawn("small", Small)
        said = await caller.ask(Within("stash"), timeout=5)
        assert said == "/small has stash_capacity='5'; a stash takes 1 message or more"
