"""Token accounts of gossip learning: balances, strategies, rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl import Generalised, Gossip, Partitioned, Proactive, Randomised, Simple
from actorfl.gossip.tokens import Account, granted, reaction
from tests.actorfl.gossiping import Script, learner

ACCOUNTS: tuple[Account, ...] = (
    Proactive(), Simple(0), Simple(3), Generalised(5, 2), Generalised(20, 10), Randomised(5, 1),
    Randomised(20, 10),
)  # fmt: skip


@given(
    st.sampled_from(ACCOUNTS),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True))),
)
def test_a_balance_stays_between_nothing_and_the_capacity(
    account: Account, events: list[tuple[bool, bool, float]]
) -> None:
    balance = periods = sent = 0
    for is_period, useful, drawn in events:
        before = balance
        if is_period:
            balance, sends = granted(account, balance, drawn)
            periods += 1
            sent += sends
        else:
            balance, messages = reaction(account, balance, useful, drawn)
            assert 0 <= messages <= before
            sent += messages
        assert 0 <= balance <= account.capacity
        # So in any time, counted from whatever balance: a token a period, and what was saved.
        assert sent + balance == periods
    for start in range(len(events)):
        count = within = 0
        balance = account.capacity
        for is_period, useful, drawn in events[start:]:
            if is_period:
                balance, sends = granted(account, balance, drawn)
                count, within = count + sends, within + 1
            else:
                balance, messages = reaction(account, balance, useful, drawn)
                count += messages
            assert count <= within + account.capacity


@given(
    st.sampled_from(ACCOUNTS),
    st.integers(1, 4),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=60),
    st.integers(0, 99),
)
def test_a_node_sends_a_message_a_period_and_what_all_its_accounts_have_saved(
    account: Account, parts: int, events: list[tuple[bool, int, bool]], seed: int
) -> None:
    gossip = Gossip(tokens=account, send=Partitioned(parts))
    for saved in (0, account.capacity):
        mine = learner(gossip, [0.0] * 5, draw=np.random.default_rng(seed))
        mine.learned.tokens = [saved] * parts
        periods = sent = 0
        for is_period, part, useful in events:
            if is_period:
                periods += 1
                sent += mine.period() is not None
            else:
                sent += mine.reaction(part % parts, useful)
            assert all(0 <= balance <= account.capacity for balance in mine.learned.tokens)
            assert sent + sum(mine.learned.tokens) == periods + saved * parts
            assert sent <= periods + account.capacity * parts


def test_a_node_with_several_accounts_sends_more_at_once_than_one_of_them_holds() -> None:
    gossip = Gossip(tokens=Generalised(5, 1), send=Partitioned(4))
    mine = learner(gossip, [0.0] * 5)
    assert [mine.period() for _ in range(5 * 4)] == [None] * 20  # five rounds of the parts
    assert sum(mine.reaction(part, useful=True) for part in range(4)) == 5 * 4


def test_the_strategies_are_those_of_the_table() -> None:
    assert [Simple(2).proactive(a) for a in range(4)] == [0, 0, 0, 1]
    assert [Simple(2).reactive(a, False) for a in range(3)] == [0, 1, 1]
    generalised = Generalised(20, 10)
    assert [generalised.reactive(a, True) for a in (0, 1, 10, 11, 20)] == [0, 1, 1, 2, 2]
    assert [generalised.reactive(a, False) for a in (0, 1, 10, 11, 20)] == [0, 0, 0, 1, 1]
    randomised = Randomised(20, 10)
    assert [randomised.proactive(a) for a in (0, 10, 21)] == [0, 0, 1]
    assert randomised.proactive(16) == pytest.approx(6 / 11)
    assert randomised.reactive(15, True) == 1.5
    assert Proactive().proactive(1) == 1
    assert granted(Proactive(), 0, 0.999) == (0, True)


@given(st.integers(0, 20), st.floats(0, 1, exclude_max=True))
def test_what_is_of_no_use_is_not_answered_by_the_randomised_account(a: int, drawn: float) -> None:
    assert reaction(Randomised(20, 10), a, False, drawn) == (a, 0)


def test_rounding_is_by_chance_and_exact_in_the_mean() -> None:
    draws = (np.arange(1000) + 0.5) / 1000
    sent = [reaction(Randomised(20, 10), 13, True, drawn)[1] for drawn in draws]
    assert np.mean(sent) == pytest.approx(1.3)


def test_what_could_not_be_sent_costs_no_token() -> None:
    mine = learner(Gossip(tokens=Simple(1)), [1, 2], draw=Script([0.5] * 3))
    assert [mine.period(), mine.period()] == [None, 0]
    mine.unsent(0)
    assert mine.learned.tokens == [1]
