"""Kills change nothing: the SHA-256 of the undisturbed run, restarts equal kills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import SGD, Rounds, Run
from actors import Inline, Processes, Simulated
from tests.faults.runs import ROUNDS, carry_out, fits, rows, small
from tests.faults.tasks import Killing, Tally
from tests.faults.test_simulated import simulate

pytestmark = pytest.mark.timeout(180)


Moment = Callable[[Mapping[str, Any]], bool]


def slow(**changed: Any) -> Run:
    """Fits of a tenth of a second: a kill comes before its clock is over, on a busy machine too."""
    return small(local=SGD(lr=0.1, batch=8, epochs=40), **changed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(slow(), tmp_path_factory.mktemp("undisturbed"))).sha256


@pytest.mark.parametrize(
    "on", [Processes(1), Processes(4), Processes(4, over="tcp")], ids=["1", "4", "tcp"]
)
async def test_the_same_bits_come_from_one_process_and_from_many(
    on: Processes, undisturbed: str, tmp_path: Path
) -> None:
    result = await carry_out(slow(), tmp_path, on)
    assert (result.sha256, result.restarts, result.rounds) == (undisturbed, 0, ROUNDS)
    assert set(fits(result.directory).values()) == {1}


def fit(clock: int) -> Moment:
    """The first fit of that clock has begun: its ``Go`` has left."""
    return lambda event: event.get("kind") == "fit" and event["fields"]["clock"] == clock


def row(number: int) -> Moment:
    """That round's line has been written: the next clock is about to become durable."""
    return lambda event: event.get("round") == number


def killing(*victims: str, when: Moment) -> tuple[Callable[[Any, Mapping[str, Any]], None], Any]:
    """Ends these processes by SIGKILL at the first such moment, and counts that."""
    kills: list[str] = []

    def disturb(under_way: Any, event: Mapping[str, Any]) -> None:
        if not kills and when(event):
            kills.extend(victims)
            for victim in victims:
                under_way.live.processes.kill(victim)

    return disturb, kills


def test_a_simulation_gives_those_bits_too(undisturbed: str, tmp_path: Path) -> None:
    result, _ = simulate(slow(), Simulated(4), tmp_path)
    assert (result.sha256, result.restarts, result.rounds) == (undisturbed, 0, ROUNDS)


async def test_a_kill_changes_no_bit_over_tcp_either(undisturbed: str, tmp_path: Path) -> None:
    disturb, kills = killing("p0", "aggregator", when=fit(2))
    on = Processes(2, over="tcp")
    result = await carry_out(slow(), tmp_path, on, disturb=disturb)
    assert (result.sha256, len(kills), result.restarts) == (undisturbed, 2, 2)


MOMENTS = [
    pytest.param(("p0",), fit(0), id="worker, first fit", marks=pytest.mark.slow),
    pytest.param(("p0",), fit(2), id="worker, middle"),
    pytest.param(("p0",), fit(ROUNDS - 1), id="worker, last fit", marks=pytest.mark.slow),
    pytest.param(("aggregator",), fit(0), id="aggregator, first fit", marks=pytest.mark.slow),
    pytest.param(("aggregator",), row(2), id="aggregator, after a row"),
    pytest.param(
        ("aggregator",), fit(ROUNDS - 1), id="aggregator, last fit", marks=pytest.mark.slow
    ),
    pytest.param(("evaluator",), fit(2), id="evaluator"),
    pytest.param(("p0", "p1", "aggregator", "evaluator"), fit(1), id="all at once"),
]


@pytest.mark.parametrize(("victims", "moment"), MOMENTS)
async def test_a_kill_changes_no_bit_and_costs_one_restart_and_one_clock(
    victims: tuple[str, ...], moment: Moment, undisturbed: str, tmp_path: Path
) -> None:
    disturb, kills = killing(*victims, when=moment)
    result = await carry_out(slow(), tmp_path, Processes(2), disturb=disturb)
    assert result.sha256 == undisturbed
    assert tuple(kills) == victims
    assert result.restarts == len(victims)
    computed = fits(result.directory)
    again = {clock for (_, clock), times in computed.items() if times > 1}
    assert len(again) <= 1
    assert max(computed.values()) <= 2
    # Nobody but the workers of a process that died computes anything again.
    died = {victim for victim in victims if victim.startswith("p")}
    recomputed = {worker for (worker, _), times in computed.items() if times > 1}
    assert recomputed <= {f"w{index}" for index in range(4) if f"p{index % 2}" in died}
    assert [line["round"] for line in rows(result.directory)] == list(range(1, ROUNDS + 1))


async def test_a_process_that_dies_while_it_starts_is_started_again(
    undisturbed: str, tmp_path: Path
) -> None:
    run = slow(task=Killing(marker_path=str(tmp_path / "died")))
    result = await carry_out(run, tmp_path, Processes(2))
    assert (result.sha256, result.restarts) == (undisturbed, 1)


async def test_what_an_algorithm_keeps_on_a_worker_survives_its_process(tmp_path: Path) -> None:
    run = slow(algorithm=Tally())
    expected = await carry_out(run, tmp_path, Inline())
    disturb, kills = killing("p0", when=fit(3))
    result = await carry_out(run, tmp_path, Processes(2), disturb=disturb)
    assert (kills, result.restarts) == (["p0"], 1)
    assert result.sha256 == expected.sha256


async def test_a_run_that_is_resumed_to_go_further_equals_one_that_went_there(
    tmp_path: Path,
) -> None:
    whole = await carry_out(small(until=Rounds(7)), tmp_path)
    first = await carry_out(small(), tmp_path)
    further = await carry_out(small(until=Rounds(7)), tmp_path, resume=first.directory)
    assert further.sha256 == whole.sha256
    assert [line["round"] for line in rows(further.directory)] == list(range(1, 8))
