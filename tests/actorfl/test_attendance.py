"""Who of a run by the clock is there when."""

from __future__ import annotations

import pytest

from actorfl import Cyclon, Newscast, Stay
from actorfl.attendance import Attendance
from actorfl.peersampling.contacts import FEW, Contacts
from actorfl.peersampling.topologies import Sampled
from actorfl.stay import by_worker

NAMES = ("a", "b", "c", "d")
STAYS = (Stay("b", join=2), Stay("c", leave=3), Stay("d", join=1, leave=9))


def test_a_clock_of_a_stay_is_a_period_and_the_end_of_the_run_is_the_end_of_all() -> None:
    there = Attendance(STAYS, NAMES, 10.0, 60.0)
    assert [there.begin(name) for name in NAMES] == [0, 20, 0, 10]
    assert [there.end(name) for name in NAMES] == [60, 60, 30, 60]
    assert [name for name in NAMES if there.leaves(name)] == ["c"]
    found = [[n for n in NAMES if there.there(n, time)] for time in (0, 9.9, 10, 20, 29.9, 30)]
    assert found == [["a", "c"], ["a", "c"], ["a", "c", "d"], [*NAMES], [*NAMES], ["a", "b", "d"]]
    assert there
    assert not Attendance((), NAMES, 10.0, 60.0)


def test_who_was_there_in_the_last_period_is_in_what_is_measured_after_it() -> None:
    there = Attendance(STAYS, NAMES, 10.0, 60.0)
    found = [[n for n in NAMES if there.counts(n, periods)] for periods in range(5)]
    assert found == [["a", "c"], ["a", "c"], ["a", "c", "d"], [*NAMES], ["a", "b", "d"]]


def test_a_pattern_decides_about_nodes_alone() -> None:
    there = Attendance((Stay("m*", join=3),), ("m0", "a"), 1.0, 9.0)
    assert [there.there(name, 0.0) for name in ("m0", "a", "membership")] == [False, True, True]


# -- whom a node may ask ---------------------------------------------------------------------------


def test_without_stays_contacts_are_those_of_the_topology() -> None:
    topology = Newscast(30, view=5)
    contacts = Contacts(topology, 7, {})
    for name in topology.names:
        assert contacts.of(name) == topology.contacts(name, 7)


@pytest.mark.parametrize(
    "topology", [Newscast(12, view=3), Cyclon(12, view=6, shuffle=2)], ids=["newscast", "cyclon"]
)
def test_whenever_a_sampler_begins_some_of_its_contacts_are_there(topology: Sampled) -> None:
    names = topology.names
    stays = by_worker(
        (
            Stay("w[0-3]", leave=4), Stay("w[4-7]", join=3, leave=8), Stay("w8", join=6),
            Stay("w9", join=8), Stay("w1?", join=7),
        ),
        names,
    )  # fmt: skip
    contacts = Contacts(topology, 7, stays)
    for name in names:
        found = contacts.of(name)
        assert name not in found
        assert len(found) == len(set(found))
        assert found == Contacts(topology, 7, stays).of(name)
        for clock in range(12):
            if name in stays and not stays[name].holds(clock):
                continue
            there = {each for each in names if each not in stays or stays[each].holds(clock)}
            assert len(there & {*found}) >= min(FEW, len(there) - 1)


def test_contacts_are_never_more_than_a_view_may_hold() -> None:
    names = tuple(f"w{index}" for index in range(1000))
    stays = by_worker(
        tuple(Stay(n, k // 2 + 1, k // 2 + 2) for k, n in enumerate(names[1:])), names
    )
    contacts = Contacts(Newscast(1000, view=4), 1, stays)
    assert 4 < len(contacts.of("w0")) <= 256
