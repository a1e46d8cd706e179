"""Any actor of pykka is spawned, supervised, watched and addressed like one of ours."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pykka
import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorGraph,
    ActorRef,
    ActorSystem,
    AskTimeout,
    DeadLetter,
    FaultPlan,
    Inline,
    Jitter,
    Kill,
    NodeDied,
    Process,
    Processes,
    Simulated,
    SpawnFailed,
    Terminated,
    ThreadAbandoned,
    UsageError,
    one_for_one,
)
from actors.baton import ATTEMPTS, Turn
from actors.blocking import EXIT_HUNG
from actors.sim import Simulation, SimulationStatistics
from tests.actors.threads import (
    BadStart,
    Break,
    Double,
    Doubler,
    Hang,
    Heard,
    History,
    NeverMade,
    NoInit,
    Put,
    Putting,
    Receiver,
    Relay,
    Say,
    Selfish,
    StopYourself,
    TellYourself,
    WhatThread,
)


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with ActorSystem("here") as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_logged() -> Iterator[None]:
    Doubler.log.clear()
    yield
    assert not pykka.ActorRegistry.get_all()


async def test_it_answers_from_a_thread_of_its_own_while_the_loop_goes_on(
    system: ActorSystem,
) -> None:
    doubler = await system.spawn("doubler", Doubler, factor=3)
    assert await doubler.ask(Double(7), timeout=5) == 21
    name = await doubler.ask(WhatThread(), timeout=5)
    assert name.startswith("Doubler")
    assert name != threading.current_thread().name
    assert Doubler.log[0].startswith("made in constructor of Doubler")
    assert Doubler.log[1] == f"started in {name}"


async def test_on_receive_is_a_handler_like_any_other(system: ActorSystem) -> None:
    receiver = await system.spawn("receiver", Receiver)
    assert await receiver.ask(Double(7), timeout=5) == 8


async def test_messages_come_one_at_a_time_and_in_order(system: ActorSystem) -> None:
    doubler = await system.spawn("doubler", Doubler)
    answers = await asyncio.gather(*(doubler.ask(Double(n), timeout=5) for n in range(20)))
    assert answers == [2 * n for n in range(20)]


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("raise", "ValueError: as told"),
        ("exit", "a blocking actor raised SystemExit: 3"),
        ("stop iteration", "a blocking actor raised StopIteration"),
        ("interrupt", "a blocking actor raised KeyboardInterrupt"),
    ],
)
async def test_what_it_raises_reaches_the_asker_and_the_supervisor_and_no_other_actor(
    system: ActorSystem, how: str, what: str
) -> None:
    failures: list[ActorFailure] = []
    system.events.subscribe(ActorFailure, failures.append)
    other = await system.spawn("other", Doubler)
    doubler = await system.spawn("doubler", Doubler)
    with pytest.raises(ActorFailed, match=what):
        await doubler.ask(Break(how), timeout=5)
    assert [what in failure.error for failure in failures] == [True]
    assert await other.ask(Double(1), timeout=5) == 2


async def test_one_that_does_not_start_is_told_of(system: ActorSystem) -> None:
    with pytest.raises(SpawnFailed, match="OSError: no camera"):
        await system.spawn("bad", BadStart)


async def test_a_class_that_is_no_actor_is_refused(system: ActorSystem) -> None:
    with pytest.raises(UsageError, match=r"actors\.Actor or pykka\.ThreadingActor"):
        await system.spawn("dict", dict)  # type: ignore[arg-type]  # what is refused


async def test_it_tells_and_asks_from_its_thread(system: ActorSystem) -> None:
    other = await system.spawn("other", Doubler, factor=5)
    doubler = await system.spawn("doubler", Doubler, peer=other)
    assert await doubler.ask(Relay(4), timeout=5) == 20
    with pytest.raises(UsageError, match="await ask"):
        doubler.ask_blocking(Double(1), timeout=1)


class Watching(Actor):
    def __init__(self, told: asyncio.Future[Terminated], target: ActorRef) -> None:
        self.told = told
        self.target = target

    async def on_start(self) -> None:
        self.watch(self.target)

    def terminated(self, message: Terminated) -> None:
        self.told.set_result(message)


async def test_it_is_watched_like_any_other(system: ActorSystem) -> None:
    doubler = await system.spawn("doubler", Doubler)
    told: asyncio.Future[Terminated] = asyncio.get_running_loop().create_future()
    await system.spawn("watching", Watching, told=told, target=doubler)
    await system.stop(doubler)
    assert (await asyncio.wait_for(told, 5)).reason == "stopped"
    assert Doubler.log[-1] == "stopped"


def graph(place: Process | None) -> ActorGraph:
    made = ActorGraph("blocking")
    with made.supervisor("root", one_for_one(3), place=place):
        made.actor("doubler", Doubler, factor=4, stop_timeout=0.2)
    return made


@pytest.mark.parametrize("on", [None, Processes(1)], ids=str)
async def test_a_supervisor_restarts_it_with_a_new_instance(on: Processes | None) -> None:
    async with graph(Process()).start(on) as live:
        doubler = live["doubler"]
        with pytest.raises(ActorFailed):
            await doubler.ask(Break("raise"), timeout=5)
        assert await doubler.ask(Double(2), timeout=5) == 8
        history = await doubler.ask(History(), timeout=5)
        words = [line.partition(" in ")[0] for line in history]
        assert words == ["made", "started", "failed with as told", "made", "started"]


async def test_one_that_hangs_fails_its_process_and_is_started_again(tmp_path: Path) -> None:
    events: list[NodeDied] = []
    async with graph(Process()).start(
        Processes(1), before=lambda system: system.events.subscribe(NodeDied, events.append)
    ) as live:
        doubler = live["doubler"]
        with pytest.raises(AskTimeout):
            await doubler.ask(Hang(str(tmp_path / "never")), timeout=0.2)
        doubler.stop()
        assert await eventually(doubler) == 8
    assert [event.reason for event in events] == [f"exit code {EXIT_HUNG}"]


async def eventually(doubler: ActorRef) -> int:
    async with asyncio.timeout(30):
        while True:
            try:
                return await doubler.ask(Double(2), timeout=1)
            except actors.AskError:
                await asyncio.sleep(0.01)


async def test_one_that_hangs_inline_is_counted_and_left_until_it_comes_back(
    tmp_path: Path,
) -> None:
    abandoned: list[ThreadAbandoned] = []
    async with graph(None).start(
        before=lambda system: system.events.subscribe(ThreadAbandoned, abandoned.append)
    ) as live:
        live["doubler"].tell(Hang(str(tmp_path / "now")))
        while "hanging" not in Doubler.log:
            await asyncio.sleep(0)
    assert [event.path for event in abandoned] == ["/root/doubler"]
    (tmp_path / "now").touch()
    for ref in pykka.ActorRegistry.get_all():
        ref.stop()


def unmade(place: Process | None, path: Path, count: int = 1, once: str = "") -> ActorGraph:
    made = ActorGraph("unmade")
    with made.supervisor("root", one_for_one(3), place=place):
        for index in range(count):
            made.actor(f"a{index}", NeverMade, path=str(path), once=once, stop_timeout=0.2)
    return made


@asynccontextmanager
async def starting(graph: ActorGraph, on: actors.Deployment) -> AsyncIterator[ActorSystem]:
    """The launcher's system of a graph whose start may never be through."""
    systems: asyncio.Queue[ActorSystem] = asyncio.Queue()

    async def run() -> None:
        async with graph.start(on, before=systems.put_nowait):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(run())
    try:
        yield await systems.get()
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_constructors_that_hang_are_abandoned_and_starve_no_other(tmp_path: Path) -> None:
    abandoned: list[ThreadAbandoned] = []
    # More than the loop's own pool of threads has workers.
    many = 5 + (os.cpu_count() or 1)
    async with starting(unmade(None, tmp_path / "now", many), Inline()) as system:
        system.events.subscribe(ThreadAbandoned, abandoned.append)
        while Doubler.log.count("constructing") < many:
            await asyncio.sleep(0)
        doubler = await system.spawn("doubler", Doubler)
        assert await doubler.ask(Double(2), timeout=5) == 4
    assert {event.path for event in abandoned} == {f"/root/a{n}" for n in range(many)}
    assert asyncio.get_running_loop()._default_executor is None  # type: ignore[attr-defined]  # whose end a program waits for
    # Those that come back after all find that nobody wants them, and leave.
    (tmp_path / "now").touch()
    async with asyncio.timeout(10):
        while any("NeverMade" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0)


async def test_a_constructor_that_hangs_fails_its_process_and_is_started_again(
    tmp_path: Path,
) -> None:
    events: list[NodeDied] = []
    graph = unmade(Process(), tmp_path / "never", once=str(tmp_path / "once"))
    async with starting(graph, Processes(1)) as system:
        system.events.subscribe(NodeDied, events.append)
        while not (tmp_path / "once").exists():
            await asyncio.sleep(0)
        (supervisor,) = system.cells.values()
        (ref,) = supervisor.children
        ref.stop()
        assert await eventually(ref) == 4
    assert [event.reason for event in events] == [f"exit code {EXIT_HUNG}"]


async def test_a_constructor_that_does_not_call_pykkas_is_told_what_to_add(
    system: ActorSystem,
) -> None:
    sentence = r"UsageError: NoInit\.__init__ does not call super\(\)\.__init__\(\); add it"
    with pytest.raises(SpawnFailed, match=sentence):
        await system.spawn("bad", NoInit)


class Holding(Actor):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[list[int]] = []

    def put(self, message: Put) -> None:
        self.got.append(message.values)

    def history(self, message: History) -> list[str]:
        return [str(values) for values in self.got]


async def test_what_a_thread_sends_leaves_as_it_is_at_that_moment(system: ActorSystem) -> None:
    holding = await system.spawn("holding", Holding)
    putting = await system.spawn("putting", Putting, peer=holding)
    assert await putting.ask(Say("tell"), timeout=5) == "sent"
    assert await holding.ask(History(), timeout=5) == ["[1]"]


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ("object", "CannotEncode: Put cannot be encoded: a builtins.object does not travel"),
        ("large", "MessageTooLarge: Put to /holding takes 5242"),
        ("large ask", "MessageTooLarge: Put to /holding takes 5242"),
    ],
)
async def test_what_cannot_be_sent_from_a_thread_is_raised_there(
    system: ActorSystem, how: str, answer: str
) -> None:
    holding = await system.spawn("holding", Holding)
    putting = await system.spawn("putting", Putting, peer=holding)
    said = await putting.ask(Say(how), timeout=5)
    assert said.startswith(answer), said


async def test_what_fails_after_a_thread_has_sent_it_is_a_dead_letter(system: ActorSystem) -> None:
    letters: list[DeadLetter] = []
    system.events.subscribe(DeadLetter, letters.append)
    nowhere = ActorRef(system, "nowhere", "/gone", 7)
    putting = await system.spawn("putting", Putting, peer=nowhere)
    assert await putting.ask(Say("tell"), timeout=5) == "sent"
    assert [(e.to, e.message, e.reason) for e in letters] == [("/gone", "Put", "unreachable")]


# In a simulation


def pair() -> ActorGraph:
    made = ActorGraph("pair")
    with made.supervisor("root", one_for_one(5)):
        slow = made.actor("slow", Slow, place=Process("far"))
        made.actor("doubler", Doubler, factor=3, peer=slow, place=Process("near"))
    return made


async def relayed(on: Simulated, plan: list[float]) -> tuple[list[str], SimulationStatistics]:
    """What a blocking actor that asks another is answered, with the virtual time of each."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    with Simulation(on).running() as simulation:
        async with pair().start(on, world=simulation.world("pair")) as live:
            for timeout in plan:
                began = loop.time()
                try:
                    answer: object = await live["doubler"].ask(Relay(4), timeout=timeout)
                except (actors.AskError, ActorFailed, actors.Unreachable) as error:
                    answer = type(error).__name__
                told.append(f"{answer} after {loop.time() - began:.1f} s")
                await asyncio.sleep(1.0)
        return told, simulation.statistics()


class Slow(Actor):
    """Takes a second of its node's time for each answer."""

    async def double(self, message: Double) -> int:
        await asyncio.sleep(1.0 if message.number else 0.0)
        return 2 * message.number


def test_in_a_simulation_its_calls_take_no_time_and_its_asks_their_own() -> None:
    on = Simulated(2)
    told, _ = actors.run(relayed(on, [5.0, 5.0]), on=on)
    assert told == ["8 after 1.0 s", "8 after 1.0 s"]
    assert any(line.startswith("started in Doubler") for line in Doubler.log)


def test_in_a_simulation_the_same_seed_gives_the_same_story() -> None:
    on = Simulated(2, seed=5, faults=FaultPlan(Jitter(0.4, p=0.3), seed=5))
    first = actors.run(relayed(on, [5.0] * 10), on=on)
    again = actors.run(relayed(on, [5.0] * 10), on=on)
    assert first == again
    assert first[1].faults["jitter"] > 0


def test_a_node_that_crashes_in_the_middle_of_an_ask_leaves_no_thread() -> None:
    before = threading.active_count()
    on = Simulated(2, faults=FaultPlan(Kill("near", 1.5)))
    told, statistics = actors.run(relayed(on, [5.0, 5.0, 5.0]), on=on)
    assert statistics.killed >= 1
    assert told[0] == "PeerLost after 1.0 s", told
    assert told[-1] == "8 after 1.0 s"
    assert threading.active_count() == before


async def test_a_thread_that_catches_its_end_and_goes_on_is_left_where_it_waits() -> None:
    enough, caught = threading.Event(), 0

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    def stubborn(_: object) -> None:
        nonlocal caught
        while not enough.is_set():
            try:
                turn.on_loop(never)
            except:  # noqa: E722  (what this is about)
                caught += 1

    turn = Turn(stubborn)
    thread = threading.Thread(target=turn.run, args=(None,), daemon=True)
    thread.start()
    waiting = asyncio.ensure_future(turn.outcome())
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (turn.kept, caught) == (True, ATTEMPTS)
    enough.set()
    turn._to_thread.put(actors.baton._Outcome(None, None))
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("how", ["raise", "exit", "stop iteration", "interrupt"])
def test_in_a_simulation_what_it_raises_fails_it_alone(how: str) -> None:
    on = Simulated(1)

    async def main() -> int:
        async with graph(Process()).start(on) as live:
            with pytest.raises(ActorFailed):
                await live["doubler"].ask(Break(how), timeout=5)
            return await live["doubler"].ask(Double(2), timeout=5)

    assert actors.run(main(), on=on) == 8


def test_a_thread_that_waits_for_others_in_a_simulation_is_told_so_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never comes back on its own, and the simulation goes on and ends without it."""
    monkeypatch.setattr(actors.baton, "REAL_SECONDS", 3.0)
    on = Simulated(1)

    async def main() -> int:
        async with graph(Process()).start(on) as live:
            with pytest.raises(ActorFailed, match=r"must not wait for others but by ref\.ask_bl"):
                await live["doubler"].ask(Hang(str(tmp_path / "now")), timeout=5)
            return await live["doubler"].ask(Double(2), timeout=5)

    assert actors.run(main(), on=on) == 8
    (left,) = pykka.ActorRegistry.get_all()
    (tmp_path / "now").touch()
    left.stop()


def test_an_error_amid_an_ask_leaves_a_simulation_and_no_thread() -> None:
    before = threading.active_count()
    on = Simulated(2)

    async def main() -> None:
        with Simulation(on).running() as simulation:
            starting = pair().start(on, world=simulation.world("pair"))
            live = await starting.__aenter__()  # and never left in order
            asking = asyncio.ensure_future(live["doubler"].ask(Relay(4), timeout=50))
            await asyncio.sleep(0.5)
            assert not asking.done()
            raise OSError("as told")

    with pytest.raises(OSError, match="as told"):
        actors.run(main(), on=on)
    assert threading.active_count() == before


async def test_one_stops_itself_calls_its_own_hooks_and_is_told_by_its_own_reference() -> None:
    async with asyncio.timeout(20), ActorSystem("here") as system:
        letters: list[DeadLetter] = []
        system.events.subscribe(DeadLetter, letters.append)
        ref = await system.spawn("selfish", Selfish)
        await ref.ask(TellYourself(), timeout=5)
        while not (heard := await ref.ask(Heard(), timeout=5)):  # it goes by way of the loop
            await asyncio.sleep(0)
        assert heard == ["told by itself"]
        while not letters:
            await asyncio.sleep(0)
        assert letters[0].message == "str"
        assert "use the ActorRef that spawn returned" in letters[0].reason
        assert await ref.ask(StopYourself(), timeout=5) == "stopping"
        assert await system.stop(ref) == "stopped"
        assert Selfish.log == ["told by itself", "cleaned up", "stopped"]
