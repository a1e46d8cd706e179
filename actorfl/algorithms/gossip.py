"""Gossip learning: nodes hand models on at random, merge what they receive, and train it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from actorfl.errors import Misfit
from actorfl.gossip.merges import ByAge, Merge
from actorfl.gossip.sends import Send, Whole
from actorfl.gossip.tokens import Account, Proactive
from actorfl.pairing import PairAlgorithm
from actorfl.ranges import check_kind, check_word

_BY_AGE, _WHOLE, _PROACTIVE = ByAge(), Whole(), Proactive()


@dataclass(frozen=True)
class Gossip(PairAlgorithm):
    """Gossip learning, for a topology without a centre and ``sync=Period(...)``.

    Ormándi, Hegedűs and Jelasity, "Gossip learning with linear models on fully distributed data"
    (2013); Hegedűs, Danner and Jelasity, "Decentralized learning works" (JPDC 148, 2021). Each
    period a node sends its model, or a part of it, to one of its peers. Who receives one merges it
    into its own and trains the result on its own data for one local loop. A model's age is the
    number of examples that it has been trained on, with repeats.

    Args:
        merge: ``ByAge()``, ``ByAge(limit=L)``, or ``Overwrite()``.
        send: ``Whole()``, ``SubSampled(share)``, or ``Partitioned(parts)``.
        tokens: ``Proactive()``, or a token account: ``Simple``, ``Generalised``, ``Randomised``;
            with ``Partitioned`` each part has one, is given a token when its turn comes, and what
            is received is answered by the same part.
        exchange: "push": a node sends each period; "pull": it asks a peer to; "push-pull": it
            sends, and the peer answers with the same part as it was before it merged. Token
            accounts are for "push".
        useful: which received models are of use to a token account: "any", or those at least as
            old as the own one.

    Raises:
        WrongType: a merge, a send, tokens or a word of another type.
        WrongValue: a word that does not exist.
        Misfit: a token account and another exchange than "push".
    """

    policies: ClassVar[tuple[str, ...]] = ("Period",)
    periods: ClassVar[bool] = True
    outlives: ClassVar[bool] = True

    merge: Merge = _BY_AGE
    send: Send = _WHOLE
    tokens: Account = _PROACTIVE
    exchange: Literal["push", "pull", "push-pull"] = "push"
    useful: Literal["any", "older"] = "any"

    def __post_init__(self) -> None:
        check_kind(self, "merge", Merge)
        check_kind(self, "send", Send)
        check_kind(self, "tokens", Account)
        check_word(self, "exchange", ("push", "pull", "push-pull"))
        check_word(self, "useful", ("any", "older"))
        if self.exchange != "push" and not isinstance(self.tokens, Proactive):
            raise Misfit(
                f"a token account pays for messages that are pushed, and Gossip's exchange is "
                f'"{self.exchange}"; use "push", or remove `tokens`'
            )
