from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.errors import ProtocolError
from transports.lane import Lost, Receiving, Sending


def test_bytes_in_flight_follow_cumulative_acknowledgements() -> None:
    sending = Sending()
    sending.sent(3, 300)
    sending.sent(2, 50)
    assert sending.in_flight == 350
    assert not sending.acknowledge(0)
    assert sending.acknowledge(2), "news, though no batch is whole"
    assert sending.in_flight == 350
    sending.acknowledge(3)
    assert sending.in_flight == 50
    sending.acknowledge(5)
    assert sending.in_flight == 0
    assert not sending.acknowledge(4), "an old acknowledgement is no error"


def test_acknowledging_what_never_left_is_refused() -> None:
    sending = Sending()
    sending.sent(1, 10)
    with pytest.raises(ProtocolError, match="1 is the last sent") as refusal:
        sending.acknowledge(2)
    assert refusal.value.reason == "sequence"


def test_a_cut_gives_up_the_unacknowledged_and_empties_the_window() -> None:
    sending = Sending()
    sending.sent(5, 500)
    sending.acknowledge(2)
    assert sending.cut() == (3, 5)
    assert sending.in_flight == 0
    assert sending.lost == 3
    assert sending.cut() is None
    sending.sent(1, 10)
    assert sending.last == 6, "numbers go on"


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 100), st.integers(0, 5))))
def test_acknowledged_and_in_flight_bytes_always_add_up(
    steps: list[tuple[int, int, int]],
) -> None:
    sending = Sending()
    for count, nbytes, behind in steps:
        sending.sent(count, nbytes)
        sending.acknowledge(max(0, sending.last - behind))
        assert sending.acked_bytes + sending.in_flight == sending.sent_bytes
        assert 0 <= sending.in_flight <= sending.sent_bytes
    sending.acknowledge(sending.last)
    assert sending.in_flight == 0


def test_gaps_are_missed_and_duplicates_are_dropped() -> None:
    receiving = Receiving()
    assert receiving.receive(1, 3) == 0
    assert receiving.receive(6, 2) == 0
    assert (receiving.last, receiving.missed) == (7, 2)
    assert receiving.receive(6, 2) == 2, "all old"
    assert receiving.receive(7, 2) == 1, "one old, one new"
    assert receiving.last == 8
    with pytest.raises(ProtocolError):
        receiving.receive(0, 1)


def test_a_new_connection_counts_what_the_old_one_lost() -> None:
    receiving = Receiving()
    receiving.receive(1, 3)
    receiving.resume(6)
    assert (receiving.missed, receiving.last) == (2, 5)
    with pytest.raises(ProtocolError, match="5 was received"):
        receiving.resume(5)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 6)), max_size=30))
def test_every_number_is_taken_once_or_missed_once(batches: list[tuple[int, int]]) -> None:
    receiving = Receiving()
    taken: list[int] = []
    for first, count in batches:
        numbers = range(first, first + count)
        taken.extend(numbers[receiving.receive(first, count) :])
    assert taken == sorted(set(taken)), "in order, none twice"
    assert len(taken) + receiving.missed == receiving.last


def test_losses_are_counted_by_lane() -> None:
    lost = Lost(control=((3, 5), (9, 9)), bulk=((1, 1),), unsent=2)
    assert (lost.messages, lost.transfers, lost.unsent) == (4, 1, 2)
    assert Lost().messages == 0
