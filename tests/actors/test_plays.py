"""Whatever actors, nodes and the network between them do: asks end, messages are accounted for,
each watcher is told once, and nothing is left behind.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import actors
from actors import ActorGraph, Backoff, Process, Simulated, one_for_one
from actors.graph import Live
from actors.sim import Simulation
from tests.actors.machines import cast
from tests.actors.machines.cast import Player, Stage
from tests.actors.machines.play import FAULTS, WITHIN, Cut, Director, Freeze, Kill, Step, plays

#: Virtual seconds after which everything that a play began has ended: signals that found no way are
#: resent after 4 s at the latest, connections are made again after 1 s.
QUIET = 30.0


def hosted() -> ActorGraph:
    """A player on the launcher's node, and one on each of the others."""
    graph = ActorGraph("play")
    often = one_for_one(10_000, outside=10_000, backoff=Backoff(0.05, maximum=0.1))
    with graph.supervisor("root", often):
        graph.actor("here", Player, mailbox=8)
        for node in ("p0", "p1"):
            graph.actor(f"on-{node}", Player, mailbox=8, place=Process(node))
    return graph


class Faults:
    """Carries out the faults of a play on simulated nodes, and ends them in time."""

    def __init__(self, stage: Stage, simulation: Simulation, live: Live) -> None:
        self._ledger = stage.ledger
        self._network = simulation.network
        self._live = live
        self._loop = asyncio.get_running_loop()

    def __call__(self, fault: Kill | Freeze | Cut) -> None:
        network = self._network
        match fault:
            case Kill(node):
                assert self._live.processes is not None
                self._live.processes.kill(node)
            case Freeze(node, seconds):
                try:
                    network.freeze(node)
                except KeyError:
                    return  # it has crashed, and its successor is not there yet
                self._ledger.frozen.setdefault(node, []).append((self._loop.time(), None))
                self._loop.call_later(seconds, self._thaw, node)
            case Cut((one, other), seconds):
                network.cut(one, other)
                self._loop.call_later(seconds, network.uncut, one, other)

    def _thaw(self, node: str) -> None:
        try:
            self._network.thaw(node)
        except KeyError:
            pass
        spans = self._ledger.frozen[node]
        now = self._loop.time()
        spans[:] = [(since, now if until is None else until) for since, until in spans]


def play(steps: list[Step], seed: int, abrupt: bool) -> Stage:
    """Carry a play out in a simulation and check it against the laws."""
    stage = Stage()
    cast.enter(stage)
    on = Simulated(2, seed=seed)

    async def main() -> None:
        with Simulation(on).running() as simulation:
            async with hosted().start(on, world=simulation.world("play")) as live:
                director = Director(stage, live.system, Faults(stage, simulation, live))
                await asyncio.sleep(0.1)  # all players are there
                for step in steps:
                    await director.carry_out(step)
                if not abrupt:
                    await asyncio.sleep(QUIET)
                    stage.ledger.check_asks()
                    stage.ledger.check_watches()
                    for system in stage.ledger.up():
                        assert not len(system.asks), f"{system} keeps asks"
            await director.end()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, f"left behind: {sorted(map(repr, others))}"

    with stage.ledger.looking_on():
        actors.run(main(), on=on)
    stage.ledger.check_sum()
    stage.ledger.check_asks()
    stage.ledger.check_letters()
    stage.ledger.check_left()
    return stage


def check(steps: list[Step], seed: int, abrupt: bool) -> None:
    play(steps, seed, abrupt)


ANY = {"steps": plays(*WITHIN, *FAULTS), "seed": st.integers(0, 1000), "abrupt": st.sampled_from([False, False, False, True])}
LEAVE = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=LEAVE)
@given(**ANY)
def test_every_play_keeps_the_laws(steps: list[Step], seed: int, abrupt: bool) -> None:
    play(steps, seed, abrupt)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=2000, deadline=None, suppress_health_check=LEAVE)
@given(**ANY)
def test_two_thousand_plays_keep_the_laws(steps: list[Step], seed: int, abrupt: bool) -> None:
    play(steps, seed, abrupt)
