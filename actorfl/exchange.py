"""Atomic averaging of pairs: a pure state machine at each node.

Who wants to average asks one neighbour, and is *engaged* until it is answered. Who is asked and not
engaged takes the mean and answers with it, so that both have the same; who is engaged itself says
busy, and the one who asked tries another. Nobody waits for somebody who waits, so there is no
deadlock on any graph. While a node is engaged its model stays as it told it: no third comes
between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

M = TypeVar("M")


@dataclass(frozen=True)
class Asked:
    """A question that is not answered yet.

    Attributes:
        of: who was asked.
        number: of the question, 1, 2, ... at the node that asks.
    """

    of: str
    number: int


class Exchange(Generic[M]):
    """One node's part in averaging pairs.

    Args:
        model: what it has.
        asked: the question that is open, as it was saved.
        number: of the last question.

    Attributes:
        model: what it has.
        asked: the question that is open; None: it is not engaged.
        number: of the last question.
    """

    def __init__(self, model: M, asked: Asked | None = None, number: int = 0) -> None:
        self.model, self.asked, self.number = model, asked, number

    def ask(self, of: str) -> Asked:
        """Ask a neighbour for a mean; the model goes with the question.

        Raises:
            ValueError: a question is open.
        """
        if self.asked is not None:
            raise ValueError(f"{self.asked} is not answered yet")
        self.number += 1
        self.asked = Asked(of, self.number)
        return self.asked

    @property
    def engaged(self) -> bool:
        """Whether a question is open, so that others are told busy."""
        return self.asked is not None

    def answered(self, of: str, number: int, mean: M | None) -> bool:
        """An answer has come, with the mean or None for busy; whether it is one to what is open."""
        if self.asked != Asked(of, number):
            return False
        self.asked = None
        if mean is not None:
            self.model = mean
        return True

    def __repr__(self) -> str:
        return f"<Exchange {'engaged' if self.engaged else 'free'} number={self.number}>"
