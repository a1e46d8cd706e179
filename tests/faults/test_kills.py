"""Kills change nothing: the SHA-256 of the undisturbed run, restarts equal kills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from actorfl import Rounds
from actors import Inline, Processes
from tests.faults.runs import ROUNDS, carry_out, fits, rows, small
from tests.faults.tasks import Killing, Tally

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    import actors

    out = tmp_path_factory.mktemp("undisturbed")
    return actors.run(carry_out(small(), out)).sha256


@pytest.mark.parametrize("on", [Processes(1), Processes(4)], ids=str)
async def test_the_same_bits_come_from_one_process_and_from_many(
    on: Processes, undisturbed: str, tmp_path: Path
) -> None:
    result = await carry_out(small(), tmp_path, on)
    assert (result.sha256, result.restarts, result.rounds) == (undisturbed, 0, ROUNDS)
    assert set(fits(result.directory).values()) == {1}


def when_fit(clock: int) -> Callable[[Mapping[str, Any]], bool]:
    """The first fit of that clock has begun."""
    return lambda event: event.get("kind") == "fit" and event["fields"]["clock"] == clock


@pytest.mark.parametrize("victim", ["p0", "aggregator"])
@pytest.mark.parametrize("moment", ["first fit", "middle", "last fit"])
async def test_a_kill_changes_no_bit_and_costs_one_restart_and_one_clock(
    victim: str, moment: str, undisturbed: str, tmp_path: Path
) -> None:
    due = when_fit({"first fit": 0, "middle": 2, "last fit": ROUNDS - 1}[moment])
    kills = 0

    def disturb(under_way: Any, event: Mapping[str, Any]) -> None:
        nonlocal kills
        if kills == 0 and due(event):
            kills += 1
            under_way.live.processes.kill(victim)

    result = await carry_out(small(), tmp_path, Processes(2), disturb=disturb)
    assert result.sha256 == undisturbed
    assert (kills, result.restarts) == (1, 1)
    again = {clock for (_, clock), times in fits(result.directory).items() if times > 1}
    assert len(again) <= 1
    assert max(fits(result.directory).values()) <= 2
    assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))


async def test_a_process_that_dies_while_it_starts_is_started_again(
    undisturbed: str, tmp_path: Path
) -> None:
    run = small(task=Killing(marker_path=str(tmp_path / "died")))
    result = await carry_out(run, tmp_path, Processes(2))
    assert (result.sha256, result.restarts) == (undisturbed, 1)


async def test_what_an_algorithm_keeps_on_a_worker_survives_its_process(tmp_path: Path) -> None:
    run = small(algorithm=Tally())
    expected = await carry_out(run, tmp_path, Inline())
    killed = False

    def disturb(under_way: Any, event: Mapping[str, Any]) -> None:
        nonlocal killed
        if not killed and when_fit(3)(event):
            killed = True
            under_way.live.processes.kill("p0")

    result = await carry_out(run, tmp_path, Processes(2), disturb=disturb)
    assert (killed, result.restarts) == (True, 1)
    assert result.sha256 == expected.sha256


async def test_a_run_that_is_resumed_to_go_further_equals_one_that_went_there(
    tmp_path: Path,
) -> None:
    whole = await carry_out(small(until=Rounds(7)), tmp_path)
    first = await carry_out(small(), tmp_path)
    further = await carry_out(small(until=Rounds(7)), tmp_path, resume=first.directory)
    assert further.sha256 == whole.sha256
    assert [row["round"] for row in rows(further.directory)] == list(range(1, 8))
