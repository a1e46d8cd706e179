"""Token accounts: how often a node sends of itself, and how much in answer to what it receives.

Danner and Jelasity, "Token account algorithms: the best of the proactive and reactive worlds"
(ICDCS 2018). Each period a node is given a token, and sends with a probability that depends on its
balance a; what it receives it answers by sending on, at a token a message. A balance stays between
0 and the capacity C. Where a model is sent in S parts each has an account, of which one is given a
token in a period, so in any time T a node sends at most ceil(T / period) + S C messages; S is 1
where it sends whole or sub-sampled models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from actorfl.errors import WrongValue
from actorfl.ranges import check_count

_MOST: Final = 1_000_000


@dataclass(frozen=True)
class Proactive:
    """A message each period and none in answer: gossip without tokens."""

    @property
    def capacity(self) -> int:
        """No token is kept."""
        return 0

    def proactive(self, balance: int) -> float:
        """Always."""
        del balance
        return 1.0

    def reactive(self, balance: int, useful: bool) -> float:
        """Never."""
        del balance, useful
        return 0.0


@dataclass(frozen=True)
class Simple:
    """Sends of itself when the account is full, and one message in answer while it has a token.

    Args:
        capacity: C, 0 to 10^6; 0 is ``Proactive``.

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range.
    """

    capacity: int = 20

    def __post_init__(self) -> None:
        check_count(self, "capacity", 0, _MOST)

    def proactive(self, balance: int) -> float:
        """When the account is full: 1[a > C]."""
        return float(balance > self.capacity)

    def reactive(self, balance: int, useful: bool) -> float:
        """One message while there is a token: 1[a > 0]."""
        del useful
        return float(balance > 0)


@dataclass(frozen=True)
class Generalised:
    """As ``Simple``, with the more messages in answer the fuller the account is.

    Args:
        capacity: C, 1 to 10^6.
        reactivity: A, 1 to C: one message in answer for about each A tokens, for half of it where
            what was received is of no use. 1 spends all tokens at once.

    Raises:
        WrongType: a value is no whole number.
        WrongValue: a value is out of range.
    """

    capacity: int = 20
    reactivity: int = 10

    def __post_init__(self) -> None:
        _check(self)

    def proactive(self, balance: int) -> float:
        """When the account is full: 1[a > C]."""
        return float(balance > self.capacity)

    def reactive(self, balance: int, useful: bool) -> float:
        """floor((A - 1 + a) / A), and of 2A where it is of no use."""
        spread = self.reactivity if useful else 2 * self.reactivity
        return float((self.reactivity - 1 + balance) // spread)


@dataclass(frozen=True)
class Randomised:
    """Sends of itself the likelier the fuller the account is, and in answer a share of it.

    Args:
        capacity: C, 1 to 10^6.
        reactivity: A, 1 to C: below so many tokens it sends nothing of itself, and in answer a/A
            messages in the mean; none where what was received is of no use.

    Raises:
        WrongType: a value is no whole number.
        WrongValue: a value is out of range.
    """

    capacity: int = 20
    reactivity: int = 10

    def __post_init__(self) -> None:
        _check(self)

    def proactive(self, balance: int) -> float:
        """(a - A) / (C + 1 - A), from 0 to 1."""
        part = (balance - self.reactivity) / (self.capacity + 1 - self.reactivity)
        return min(1.0, max(0.0, part))

    def reactive(self, balance: int, useful: bool) -> float:
        """Answers a / A messages, and none where it is of no use."""
        return balance / self.reactivity if useful else 0.0


Account: TypeAlias = Proactive | Simple | Generalised | Randomised


def granted(account: Account, balance: int, drawn: float) -> tuple[int, bool]:
    """A period is over: a token comes, and perhaps a message goes.

    Args:
        account: the strategy.
        balance: before, 0 to C.
        drawn: uniform in [0, 1).

    Returns:
        The balance after, and whether to send.
    """
    balance += 1
    if drawn < account.proactive(balance):
        return balance - 1, True
    return balance, False


def reaction(account: Account, balance: int, useful: bool, drawn: float) -> tuple[int, int]:
    """Something was received: how many messages go in answer.

    Args:
        account: the strategy.
        balance: before, 0 to C.
        useful: whether what was received is of use.
        drawn: uniform in [0, 1), for the rounding: its mean is exact.

    Returns:
        The balance after, and the number of messages, which is at most the balance before.
    """
    messages = min(balance, math.floor(drawn + account.reactive(balance, useful)))
    return balance - messages, messages


def _check(account: Any) -> None:
    check_count(account, "capacity", 1, _MOST)
    check_count(account, "reactivity", 1)
    if account.reactivity > account.capacity:
        need = f"at most `capacity` ({account.capacity})"
        raise WrongValue(f"`reactivity` of {type(account).__name__}", need, account.reactivity)
