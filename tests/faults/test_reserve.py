"""A worker's process that one in reserve replaces trains on with the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import Rounds
from actors import Event, NodeStarted, Processes, Simulated, reserve
from tests.faults.runs import carry_out
from tests.faults.test_kills import slow

pytestmark = pytest.mark.timeout(180)

#: Enough for a process to load torch meanwhile, on a busy machine too.
LONG = slow(until=Rounds(10))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(LONG, tmp_path_factory.mktemp("undisturbed"))).sha256


@pytest.mark.parametrize(
    "on", [Simulated(2, spare=1), Processes(2, spare=1)], ids=["simulated", "processes"]
)
def test_a_process_from_the_reserve_ends_with_the_same_bits(
    on: Simulated | Processes, undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "SETTLE", 0.01)
    started: list[NodeStarted] = []
    ready: list[int] = []

    def disturb(under_way: Any, event: Mapping[str, Any]) -> None:
        if event.get("event") == "spare_ready":
            ready.append(event["pid"])
            if len(ready) == 1:
                under_way.live.system.events.subscribe(NodeStarted, started.append)
                under_way.live.processes.kill("p1")

    result = actors.run(carry_out(LONG, tmp_path, on, disturb=disturb), on=on)
    assert result.sha256 == undisturbed
    assert result.restarts == 1
    (event,) = started
    assert isinstance(event, Event)
    assert (event.node, event.spare, event.pid) == ("p1", True, ready[0])
