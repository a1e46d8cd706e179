"""A process can die before a message, after it and in each phase of a write, simulated or real."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRestarted,
    ActorSystem,
    AskError,
    AtClock,
    CrashPoint,
    Event,
    FaultPlan,
    Message,
    NodeDied,
    Process,
    Simulated,
    crashpoints,
    one_for_one,
)
from actors.crashpoints import install
from actors.faults.kinds import Fault
from tests.actors.subjects import Load, Save, carried_out, pair, until_answered
from tests.actors.test_disturbed import Deploy, both, simulated, start


def disturbed(
    deploy: Deploy, tmp_path: Path, *faults: Fault
) -> tuple[str, bytes | None, list[Event]]:
    """What an ask to save ends with, what is stored afterwards, and what happened."""
    on, events = deploy(1, FaultPlan(*faults)), list[Event]()

    async def main() -> tuple[str, bytes | None]:
        async with start(on, tmp_path, events) as live:
            try:
                end = await live["a"].ask(Save("x"), timeout=30.0)
            except AskError as error:
                end = type(error).__name__
            return end, await until_answered(live["a"], Load("x"))

    return *carried_out(main, on), events


@both
@pytest.mark.parametrize(
    ("point", "stored"), [("actor.message", None), ("actor.handled", b"newnew")]
)
def test_a_process_dies_before_a_message_is_handled_or_after_it_but_before_the_answer(
    deploy: Deploy, point: str, stored: bytes | None, tmp_path: Path
) -> None:
    fault = CrashPoint(point, "sigkill", actor="*/a", message="Save")
    end, found, events = disturbed(deploy, tmp_path, fault)
    assert end == "PeerLost"
    assert found == stored
    assert len([event for event in events if isinstance(event, NodeDied)]) == 1


@pytest.mark.parametrize("point", ["actor.message", "actor.handled"])
def test_code_that_raises_there_fails_the_actor_and_its_asker_as_a_handler_does(
    point: str, tmp_path: Path
) -> None:
    fault = CrashPoint(point, "raise", message="Sa?e")
    end, found, events = disturbed(simulated, tmp_path, fault)
    assert (end, found) == ("ActorFailed", None if point == "actor.message" else b"newnew")
    assert not [event for event in events if isinstance(event, NodeDied)]
    assert len([event for event in events if isinstance(event, ActorRestarted)]) == 1


@pytest.mark.parametrize(
    "other",
    [
        CrashPoint("actor.message", "sigkill", actor="*/b", message="Save"),
        CrashPoint("actor.handled", "sigkill", message="Sav"),
        CrashPoint("actor.message", "sigkill", node="q*"),
        CrashPoint("actor.message", "sigkill", AtClock(0), message="Save"),
    ],
    ids=["actor", "message", "node", "clock"],
)
def test_another_actor_message_node_or_clock_passes_unharmed(other: CrashPoint) -> None:
    points = crashpoints.CrashPoints([other], "p0", 0)
    assert points.passed(other.point, None, "/root/a", "Save") is None
    assert points.statistics().reached == ()


class Do(Message[None]):
    pass


class Doer(Actor):
    done: ClassVar[list[str]] = []

    def do(self, message: Do) -> None:
        self.done.append("once")


@pytest.mark.parametrize(("point", "times"), [("actor.message", 1), ("actor.handled", 2)])
def test_what_died_before_a_message_has_not_handled_it_in_a_simulation_either(
    point: str, times: int
) -> None:
    Doer.done.clear()
    graph = ActorGraph("doing")
    with graph.supervisor("root", one_for_one(3), place=Process()):
        graph.actor("doer", Doer)
    on = Simulated(1, faults=FaultPlan(CrashPoint(point, "sigkill", message="Do")))

    async def main() -> None:
        async with graph.start(on) as live:
            await until_answered(live["doer"], Do())

    carried_out(main, on)
    assert len(Doer.done) == times


def test_only_passages_by_what_is_named_are_counted() -> None:
    point = CrashPoint("actor.message", "raise", 2, actor="/root/a", message="Save")
    points = crashpoints.CrashPoints([point], "p0", 0)
    passages = [("/root/a", "Save"), ("/root/b", "Save"), ("/root/a", "Load"), ("/root/a", "Save")]
    told = [points.passed("actor.message", None, *passage) for passage in passages]
    assert told == [None, None, None, "raise"]


def test_a_pattern_names_several_nodes() -> None:
    point = CrashPoint("a", "raise", node="p*")
    told = [crashpoints.CrashPoints([point], node, 0).passed("a", None) for node in ("p0", "q0")]
    assert told == ["raise", None]


class Round(Message[int]):
    clock: int


class Nested(Message[int]):
    of: Round


class Rounds(Actor):
    def __init__(self) -> None:
        self._seen: list[int] = []

    def round(self, message: Round) -> int:
        self._seen.append(message.clock)
        return message.clock

    async def nested(self, message: Nested) -> int:
        self._seen.append(message.of.clock)
        return message.of.clock


async def test_a_message_that_holds_a_clock_tells_it_itself_or_in_a_part() -> None:
    try:
        async with ActorSystem("here") as system:
            for make in (Round, lambda clock: Nested(Round(clock))):
                counter = install(
                    [CrashPoint("actor.handled", "raise", AtClock(2))], node="here", generation=0
                )
                actor = await system.spawn("rounds", Rounds)
                assert [await actor.ask(make(n), timeout=5.0) for n in (0, 1)] == [0, 1]
                with pytest.raises(ActorFailed, match=r"crash point actor\.handled was ordered"):
                    await actor.ask(make(2), timeout=5.0)
                assert counter is not None
                assert counter.statistics().passed["actor.message"] == 3
                await system.stop(actor)
    finally:
        install((), node="", generation=0)
    assert crashpoints.on_message is None


@pytest.mark.parametrize(
    ("plan", "calls"),
    [
        (FaultPlan(), (False, False)),
        (FaultPlan(CrashPoint("counted", "raise")), (True, False)),
        (FaultPlan(CrashPoint("actor.message", "raise", 1000)), (True, True)),
    ],
    ids=["empty", "elsewhere", "messages"],
)
def test_an_actor_calls_nothing_for_a_message_unless_a_point_of_messages_is_ordered(
    plan: FaultPlan, calls: tuple[bool, bool]
) -> None:
    on = Simulated(1, faults=plan)

    async def main() -> tuple[bool, bool]:
        async with pair(apart=False).start(on):
            return crashpoints._watcher is not None, crashpoints.on_message is not None

    assert carried_out(main, on) == calls


PHASES = ("storage.begin", "storage.part", "storage.write", "storage.placed")


@both
def test_a_kill_in_any_phase_of_a_write_leaves_the_old_file_or_the_new_whole(
    deploy: Deploy, tmp_path: Path
) -> None:
    # Each start of the process passes one write; the first of all before that is not killed.
    plan = FaultPlan(
        *(
            CrashPoint(phase, "sigkill", 2 if start == 0 else 1, start=start)
            for start, phase in enumerate(PHASES)
        )
    )
    on, events = deploy(1, plan), list[Event]()
    found: list[Any] = []

    async def main() -> None:
        async with start(on, tmp_path, events) as live:
            assert await live["a"].ask(Save("x", b"old"), timeout=30.0) == "saved"
            for _ in PHASES:
                with pytest.raises(AskError):
                    await live["a"].ask(Save("x", b"new"), timeout=30.0)
                found.append(await until_answered(live["a"], Load("x")))

    carried_out(main, on)
    assert found == [b"oldold", b"oldold", b"oldold", b"newnew"]
    assert len([event for event in events if isinstance(event, NodeDied)]) == len(PHASES)
