"""What must hold under each policy whatever goes wrong: the laws themselves, and runs under chaos."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actorfl import ASP, SSP, Buffered, FedAsync, FedAvg, FedBuff, Quorum, Scaffold
from actorfl.algorithm import Algorithm
from actorfl.chaos import laws
from actorfl.chaos.scenario import scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.sync import Sync
from actorfl.witness import Act
from actors.testing.chaos import explore
from tests.faults.runs import small, thorough

pytestmark = pytest.mark.timeout(300)

WORDS = {
    "o": "opened", "m": "merged", "c": "closed", "s": "saved", "t": "starts", "e": "ends",
    "w": "waits", "r": "restored",
}  # fmt: skip


def acts(text: str) -> list[Act]:
    """``ta0 ma0 ea0``: a starts its clock 0, that is merged, has ended; ``c0ab``: with a and b."""
    found = []
    for word in text.split():
        match = re.fullmatch(r"([omcstewr])([ab]?)(\d)([ab]*)", word)
        assert match is not None, word
        kind, worker, clock, workers = match.groups()
        kind_of: Any = WORDS[kind]
        found.append(Act(kind_of, 0, int(clock), worker, 0, tuple(workers)))
    return found


# -- a quorum --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "o0 ma0 c0a s0 o1 mb1 ma1 c1ab s1",
        # Restarted before the clock was durable, and closed with another.
        "o0 ma0 c0a o0 mb0 c0b s0 o1 ma1 c1a s1",
        # Anew on a wider grid.
        "o0 ma0 o0 mb0 ma0 c0ab s0 o1 ma1 c1a s1",
    ],
)
def test_clocks_that_close_with_enough_parts_are_fine(text: str) -> None:
    assert laws.each_part_is_merged_at_most_once(acts(text), "ab", 2, 1) is None


@pytest.mark.parametrize(
    ("text", "needed", "sentence"),
    [
        ("o0 ma0 ma0", 1, "a was merged twice into clock 0"),
        ("o0 ma0 c0a s0 o1 mb0", 1, "b was merged into clock 0, which was not open"),
        ("o0 ma0 c0ab", 1, "clock 0 was closed with a, b"),
        ("o0 c0", 1, "clock 0 was closed with 0 of 1 needed parts"),
        ("o0 ma0 c0a", 2, "clock 0 was closed with 1 of 2 needed parts"),
        (
            "o0 ma0 c0a s0 o1 ma1 c1a s1 o0 ma0 c0a", 1,
            "clock 0 was opened after clock 1 was made durable",
        ),
        ("o0 ma0 s1 c0a", 1, "clock 0 was closed after clock 1 was made durable"),
        ("o0 ma0 c0a s0", 1, "clock 1 was never closed, and 2 are said to be"),
    ],
)  # fmt: skip
def test_a_quorum_that_is_broken_is_told(text: str, needed: int, sentence: str) -> None:
    told = laws.each_part_is_merged_at_most_once(acts(text), "ab", 2, needed)
    assert told == sentence


# -- without a barrier -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ma0 ea0 ma1 ea1 mb0 eb0",
        # Added, and not durable when the aggregator was restarted.
        "ma0 ra0 rb0 ma0 ea0 ma1 ea1",
        # Durable, and the word of it lost.
        "ma0 ea0 ra1 rb0 ma1 ea1",
        "ma0 ra1 rb0 ma1 ea1",
    ],
)
def test_clocks_that_follow_each_other_are_fine(text: str) -> None:
    assert laws.each_clock_follows_the_last(acts(text), "ab") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ma0 ea0 ma0", "clock 0 of a was merged, and its next is 1"),
        ("ma1", "clock 1 of a was merged, and its next is 0"),
        ("ma0 ea0 ea0", "clock 0 of a ended, and its next was 1"),
        ("eb1", "clock 1 of b ended, and its next was 0"),
        (
            "ma0 ea0 ra0",
            "a restarted aggregator takes clock 0 of a for its next, and 1 had ended",
        ),
    ],
)
def test_clocks_that_do_not_follow_each_other_are_told(text: str, sentence: str) -> None:
    assert laws.each_clock_follows_the_last(acts(text), "ab") == sentence


def test_who_is_too_far_ahead_is_told_across_a_restart_of_the_aggregator() -> None:
    def told(text: str, bound: float) -> str | None:
        return laws.staleness_is_bounded(laws.steps(acts(text)), "ab", bound)

    ahead = "ta0 ea0 ra1 rb0 ta1 ea1 ta2"
    assert told(ahead, 2) is None
    assert told(ahead, 1) == "a started clock 2 while b had completed 0, more than 1 behind"
    # What a restarted aggregator knows of b has ended, though nobody heard so before.
    assert told("ta0 ea0 ra1 rb1 ta1 ea1 ta2", 1) is None


def test_who_has_to_wait_is_told_where_nobody_has_to() -> None:
    assert laws.nobody_waits(laws.steps(acts("ta0 ea0 ta1"))) is None
    assert laws.nobody_waits(laws.steps(acts("ta0 ea0 wa1"))) == "a had to wait for clock 1"


# -- under chaos -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [6, thorough(200)])
@pytest.mark.parametrize(
    ("sync", "algorithm"),
    [
        (SSP(1), FedAvg()),
        (ASP(), FedAsync()),
        (Buffered(2), FedBuff()),
        (Quorum(0.6), Scaffold()),
    ],
    ids=["ssp", "asp", "buffered", "quorum"],
)
def test_no_schedule_of_faults_breaks_what_a_policy_promises(
    sync: Sync, algorithm: Algorithm, seeds: int
) -> None:
    chaos = Chaos(rounds=2)
    scenario = scenario_of(shortened(small(sync=sync, algorithm=algorithm), chaos), chaos)
    report = explore(scenario, range(10, 10 + seeds))
    assert not report.failed, report.failed[0]
    assert (report.seeds, report.kills > 0) == (seeds, True)
