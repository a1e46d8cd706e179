"""A worker's process that one in reserve replaces trains on with the same bits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import actors
from actorfl import Result, Rounds, Run, running
from actors import ActorSystem, NodeStarted, Processes, Simulated, SpareReady, reserve
from tests.faults.runs import carry_out, small
from tests.faults.tasks import Gated

pytestmark = pytest.mark.timeout(180)


def gated(gate: Path) -> Run:
    """Trains when the gate is there, so that a spare has the time that it takes to load torch."""
    return small(task=Gated(str(gate)), until=Rounds(10))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("undisturbed")
    (out / "gate").touch()
    return actors.run(carry_out(gated(out / "gate"), out / "runs")).sha256


async def killed(
    on: Simulated | Processes, gate: Path, out: Path
) -> tuple[Result, int, NodeStarted]:
    """Kill a process of workers as soon as a spare is loaded, then let training begin.

    Returns:
        What the run gave, the spare's pid, and what was started instead of the process.
    """
    ready: list[int] = []
    loaded = asyncio.Event()
    started: list[NodeStarted] = []

    def hear(event: SpareReady) -> None:
        ready.append(event.pid)
        loaded.set()

    def on_system(system: ActorSystem, _: object) -> None:  # it may be loaded before all are up
        system.events.subscribe(SpareReady, hear)

    async with running(gated(gate), on, out=out, on_system=on_system) as under_way:
        under_way.live.system.events.subscribe(NodeStarted, started.append)
        await loaded.wait()
        assert under_way.live.processes is not None
        under_way.live.processes.kill("p1")
        if isinstance(on, Processes):
            await asyncio.to_thread(gate.touch)
        result = await under_way.result()
    (event,) = started
    return result, ready[0], event


@pytest.mark.parametrize(
    "on", [Simulated(2, spare=1), Processes(2, spare=1)], ids=["simulated", "processes"]
)
def test_a_process_from_the_reserve_ends_with_the_same_bits(
    on: Simulated | Processes, undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    if isinstance(on, Simulated):
        monkeypatch.setattr(reserve, "SETTLE", 0.01)
        gate.touch()  # a fit takes virtual time
    result, pid, event = actors.run(killed(on, gate, tmp_path / "runs"), on=on)
    assert result.sha256 == undisturbed
    assert result.restarts == 1
    assert (event.node, event.spare, event.pid) == ("p1", True, pid)
