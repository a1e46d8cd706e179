"""Strategy x restart type x way of dying x placement: who is restarted, and who learns what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.supervision import RestartType
from tests.actors.supervision.table import LETHAL, OUTSIDE, OWN, PLACEMENTS, WITHIN, cells, outcomes


def table() -> Iterator[tuple[str, str, str, str, RestartType]]:
    """Each cell: way of dying, placement, world, strategy, restart type."""
    for way in (*WITHIN, *LETHAL):
        for placement in PLACEMENTS:
            for world in ("simulated", "real"):
                if world == "simulated" and way in OWN:
                    continue  # a simulated process shares the interpreter that this ends
                if world == "simulated" and way in OUTSIDE and placement == "thread":
                    continue  # the thread that holds a call in a simulation holds its time, too
                for strategy, restart in cells():
                    yield way, placement, world, strategy, restart


@pytest.mark.parametrize(("way", "placement", "world", "strategy", "restart"), list(table()))
def test_a_death_restarts_whom_it_should_and_everybody_learns_of_it_as_it_was(
    way: str, placement: str, world: str, strategy: str, restart: RestartType
) -> None:
    outcome = outcomes(way, placement, world)[strategy, restart]
    lethal = way in LETHAL
    comes_back = restart == "permanent" or (restart == "transient" and way != "stop")
    taken_along = {
        "one_for_one": ["v"],
        "one_for_all": ["a", "v", "c"],
        "rest_for_one": ["v", "c"],
    }[strategy]
    twice = way in ("constructor", "on_start")

    if not comes_back:
        assert outcome.restarted == []
        assert outcome.stages == {"a": "up", "c": "up"}
    else:
        # Where the start fails once more, those before it have come up by then.
        before = taken_along[: taken_along.index("v")] if twice else []
        assert outcome.restarted == [*before, *taken_along]
        assert outcome.stages == dict.fromkeys("avc", "up")

    # The victim's own hooks, between those of its siblings.
    stops = [] if lethal else ["stop v"]
    if comes_back:
        mine = [f"stop {name}" for name in reversed(taken_along)]
        if lethal or way == "stop":
            mine.remove("stop v")
        expected = [*(stops if way == "stop" else []), *mine]
        if twice:
            ahead = taken_along[: taken_along.index("v")]
            expected += [f"start {name}" for name in ahead]
            # What was not there, or had not started, is not stopped.
            expected += ["stop v"] if way == "on_start" else []
            expected += [f"stop {name}" for name in reversed(ahead)]
        expected += [f"start {name}" for name in taken_along]
    else:
        expected = list(stops)
    notes = [note for note in outcome.notes[3:] if note != "mark"]
    assert sorted(outcome.notes[:3]) == ["start a", "start c", "start v"]
    assert notes == expected

    # A restart within the node is none to a watcher; the mailbox and who waits there stay.
    survives = comes_back and not lethal and way != "stop"
    if survives:
        assert outcome.seen == []
        assert outcome.notes.count("mark") == 1
        assert outcome.queued == ("3" if way == "constructor" else "3" if twice else "2")
    else:
        cause = {
            "stop": "stopped",
            "os._exit": "exited",
            "SIGKILL": "killed",
            "SIGSTOP": "killed",
            "segmentation fault": "killed",
        }.get(way, "failed")
        assert outcome.seen == [cause]
        assert outcome.notes.count("mark") == 0
        assert outcome.queued == ("PeerLost" if lethal else "NoSuchActor")
    if lethal:
        assert outcome.dying == "PeerLost"
    else:
        assert outcome.dying == ("stopping" if way == "stop" else "ActorFailed")
