"""Actors are found by what they do, on every node, for as long as they live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRef,
    ActorSystem,
    Backoff,
    Deployment,
    Drop,
    Duplicate,
    FaultPlan,
    Inline,
    Jitter,
    Listing,
    Message,
    NoSuchActor,
    Process,
    Processes,
    ServiceKey,
    Simulated,
    Unreachable,
    UsageError,
    one_for_one,
)
from actors.live import Live
from actors.receptionist import MAX_NAME, MAX_SUBSCRIBERS
from actors.services import MAX_ACTORS, MAX_KEYS, Services

PRINTERS = ServiceKey("printers")

EVERYWHERE = pytest.mark.parametrize(
    "on",
    [
        Inline(),
        Simulated(1),
        Simulated(
            1, faults=FaultPlan(Drop(0.2), Duplicate(0.2), Jitter(0.05, p=0.3), until=1000.0)
        ),
        Processes(1),
    ],
    ids=["inline", "simulated", "disturbed", "processes"],
)


class Names(Message[list[str]]):
    """Names of the printers that are found now."""


class Seen(Message[list[list[str]]]):
    """What the listings said that were delivered, in order."""


class Fail(Message[None]):
    pass


class Leave(Message[None]):
    pass


class Printer(Actor):
    async def on_start(self) -> None:
        await self.system.receptionist.register(PRINTERS, self.ref)

    async def names(self, message: Names) -> list[str]:
        return named(await self.system.receptionist.find(PRINTERS))

    def fail(self, message: Fail) -> None:
        raise ValueError("out of paper")

    def leave(self, message: Leave) -> None:
        self.system.receptionist.deregister(PRINTERS, self.ref)


class Office(Actor):
    """Hears of all changes."""

    def __init__(self) -> None:
        self._seen: list[list[str]] = []
        self.system.receptionist.subscribe(PRINTERS, self.ref)

    def listed(self, message: Listing) -> None:
        assert message.key == PRINTERS
        self._seen.append(named(message))

    def seen(self, message: Seen) -> list[list[str]]:
        return self._seen


def named(listing: Listing) -> list[str]:
    return sorted(ref.name for ref in listing.refs)


def offices() -> ActorGraph:
    graph = ActorGraph("offices")
    with graph.supervisor("root", one_for_one(10, backoff=Backoff(0.0))):
        graph.actor("here", Office)
        graph.actor("there", Office, place=Process("pa"))
        graph.actor("a1", Printer, place=Process("pa"))
        graph.actor("b1", Printer, place=Process("pb"), restart="transient")
        graph.actor("b2", Printer, place=Process("pb"), restart="transient")
        graph.actor("c", Printer)
    return graph


async def seen(ref: ActorRef, wanted: Callable[[list[list[str]]], bool]) -> list[list[str]]:
    """What that office was told, once it is as wanted."""
    while True:
        try:
            listings = await ref.ask(Seen(), timeout=1)
        except (actors.AskTimeout, NoSuchActor, Unreachable):  # its process comes back
            listings = []
        if wanted(listings):
            return listings
        await asyncio.sleep(0.02)


ALL = ["a1", "b1", "b2", "c"]


async def all_are_there(live: Live) -> None:
    for name in ("here", "there"):
        await seen(live[name], lambda listings: listings[-1:] == [ALL])


@EVERYWHERE
def test_what_is_registered_anywhere_is_found_everywhere(on: Deployment) -> None:
    async def main() -> None:
        async with offices().start(on) as live:
            await all_are_there(live)
            assert named(await live.system.receptionist.find(PRINTERS)) == ALL
            for name in ALL:
                while True:
                    try:
                        assert await live[name].ask(Names(), timeout=2) == ALL
                        break
                    except actors.AskTimeout:
                        assert isinstance(on, Simulated)

    actors.run(main(), on=on)


@EVERYWHERE
def test_each_change_is_told_once_and_in_order(on: Deployment) -> None:
    async def main() -> None:
        async with offices().start(on) as live:
            await all_are_there(live)
            live["b1"].stop()
            for name in ("here", "there"):
                await seen(live[name], lambda told: told[-1:] == [["a1", "b2", "c"]])
            live.system.receptionist.deregister(PRINTERS, live["c"])
            await live.system.receptionist.register(PRINTERS, live["c"])
            await live.system.receptionist.register(PRINTERS, live["c"])
            for name in ("here", "there"):
                listings = await seen(
                    live[name],
                    lambda told: ["a1", "b2"] in told and told[-1] == ["a1", "b2", "c"],
                )
                told = listings[listings.index(ALL) :]
                assert told == [ALL, ["a1", "b2", "c"], ["a1", "b2"], ["a1", "b2", "c"]]

    actors.run(main(), on=on)


@EVERYWHERE
def test_an_actor_that_is_restarted_stays_registered(on: Deployment) -> None:
    async def main() -> None:
        async with offices().start(on) as live:
            await all_are_there(live)
            for name in ("a1", "c"):
                with pytest.raises((ActorFailed, actors.AskTimeout)):
                    await live[name].ask(Fail(), timeout=2)
            while True:
                try:
                    assert await live["a1"].ask(Names(), timeout=2) == ALL
                    break
                except actors.AskTimeout:
                    assert isinstance(on, Simulated)
            listings = await seen(live["there"], bool)  # a lost question is asked again
            assert listings[-1] == ALL
            assert listings.count(ALL) == 1

    actors.run(main(), on=on)


@pytest.mark.parametrize("on", [Simulated(1), Processes(1)], ids=["simulated", "processes"])
def test_all_of_a_dead_process_vanish_at_once_and_come_back_with_the_next(on: Deployment) -> None:
    async def main() -> None:
        async with offices().start(on) as live:
            await all_are_there(live)
            assert live.processes is not None
            live.processes.kill("pb")
            for name in ("here", "there"):
                listings = await seen(
                    live[name], lambda told: told.count(ALL) == 2 and told[-1] == ALL
                )
                told = listings[listings.index(ALL) :]
                assert told[:2] == [ALL, ["a1", "c"]]
                assert len(told) == 4  # one came back, then the other
            live.processes.kill("pa")  # with it goes a subscription, and what it followed
            await seen(live["there"], lambda told: told[-1:] == [ALL])

    actors.run(main(), on=on)


async def test_nobody_is_an_empty_listing_and_who_is_gone_vanishes_at_once() -> None:
    async with ActorSystem("node") as system:
        assert (await system.receptionist.find(PRINTERS)).refs == ()
        gone = await system.spawn("gone", Printer)
        await system.stop(gone)
        await system.receptionist.register(PRINTERS, gone)
        assert (await system.receptionist.find(PRINTERS)).refs == ()
        await system.receptionist.register(PRINTERS, system.new_ref("nobody"))
        async with asyncio.timeout(10):  # after the time in which it might have been made
            while (await system.receptionist.find(PRINTERS)).refs:
                await asyncio.sleep(0.01)
        printer = await system.spawn("printer", Printer)
        assert (await system.receptionist.find(PRINTERS)).refs == (printer,)
        await system.stop(printer)
        assert (await system.receptionist.find(PRINTERS)).refs == ()


async def test_a_subscriber_that_stops_hears_no_more_and_one_that_unsubscribes_neither() -> None:
    async with ActorSystem("node") as system:
        office = await system.spawn("office", Office)
        other = await system.spawn("other", Office)
        system.receptionist.unsubscribe(PRINTERS, other)
        await system.stop(office)
        assert "subscriptions=0" in repr(system.receptionist)
        await system.spawn("printer", Printer)
        assert await other.ask(Seen(), timeout=5) == [[]]


async def test_a_subscriber_needs_a_handler_and_subscribes_where_it_lives() -> None:
    async with ActorSystem("node") as system:
        printer = await system.spawn("printer", Printer)
        with pytest.raises(UsageError, match="Printer subscribes to 'printers' but has no handler"):
            system.receptionist.subscribe(PRINTERS, printer)
        with pytest.raises(UsageError, match=r"/far does not live on node node"):
            system.receptionist.subscribe(PRINTERS, system.new_ref("far", "elsewhere"))


async def test_keys_and_subscriptions_are_bounded() -> None:
    with pytest.raises(UsageError, match=f"1 to {MAX_NAME} characters, not {MAX_NAME + 1}"):
        ServiceKey("x" * (MAX_NAME + 1))
    async with ActorSystem("node") as system:
        receptionist = system.receptionist
        office = await system.spawn("office", Hearing)
        for number in range(MAX_KEYS):
            receptionist.subscribe(ServiceKey(f"k{number}"), office)
        with pytest.raises(UsageError, match=f"looks for {MAX_KEYS} keys already"):
            await receptionist.find(ServiceKey("more"))
        assert MAX_KEYS == MAX_SUBSCRIBERS
        second = await system.spawn("second", Hearing)
        with pytest.raises(UsageError, match=f"{MAX_SUBSCRIBERS} subscriptions already"):
            receptionist.subscribe(ServiceKey("k1"), second)
        for number in range(MAX_KEYS):
            await receptionist.register(ServiceKey(f"k{number}"), office)
        with pytest.raises(UsageError, match=f"there are {MAX_KEYS} keys already"):
            await receptionist.register(ServiceKey("more"), office)


class Look(Message[list[str]]):
    first: int
    last: int


class Looking(Actor):
    async def look(self, message: Look) -> list[str]:
        found = []
        for number in range(message.first, message.last):
            listing = await self.system.receptionist.find(ServiceKey(f"k{number}"))
            found += [ref.name for ref in listing.refs]
        return found


def test_a_node_can_look_for_other_keys_for_ever() -> None:
    """Also from another node than the launcher's, and a key that it gave up is heard of anew."""

    async def main() -> None:
        graph = ActorGraph("lookers")
        with graph.supervisor("root"):
            graph.actor("looking", Looking, place=Process("pa"))
            graph.actor("known", Hearing)
        async with graph.start(Simulated(1)) as live:
            receptionist = live.system.receptionist
            looking = live["looking"]
            await receptionist.register(ServiceKey("k1"), live["known"])
            many = 2 * MAX_KEYS + 50
            assert await looking.ask(Look(0, many), timeout=900) == ["known"]
            followed = receptionist._services._followers
            assert len(followed) == MAX_KEYS
            # Empty at first, and given up since.
            await receptionist.register(ServiceKey("k2"), live["known"])
            assert await looking.ask(Look(0, 4), timeout=900) == ["known"] * 2
            assert len(followed) == MAX_KEYS
            # The one in which somebody is was kept all the time.
            assert "k1" in followed
            assert f"k{many - MAX_KEYS + 1}" not in followed
            assert f"k{many - 1}" in followed

    actors.run(main(), on=Simulated(1))


class Hearing(Actor):
    def listed(self, message: Listing) -> None:
        pass


def test_actors_of_one_key_are_bounded() -> None:
    services = Services()
    for uid in range(MAX_ACTORS):
        assert services.register("k", ("n", f"/a{uid}", uid)) == ["k"]
    assert str(MAX_ACTORS) in services.refuses("k", ("n", "/one", MAX_ACTORS))
    assert services.refuses("k", ("n", "/a0", 0)) == ""
    assert services.gone(0) == ["k"]
    assert services.refuses("k", ("n", "/one", MAX_ACTORS)) == ""
    assert services.node_died("n") == ["k"]
    assert services.gone(1) == []
    assert repr(services) == "<Services 0 keys, 0 actors>"
