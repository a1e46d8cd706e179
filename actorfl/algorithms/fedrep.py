"""Federated averaging of a body, under a head that is each worker's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import Misfit, UnknownKey, WrongType
from actorfl.local import SGD, Phase
from actorfl.parts import TensorInfo, held_by, patterns_of
from actorfl.ranges import check_count


@dataclass(frozen=True)
class FedRep(FedAvg):
    """FedRep: workers learn one representation together, and each its own head on top of it.

    Collins et al., "Exploiting Shared Representations for Personalized Federated Learning", ICML
    2021, Algorithm 1; worker k, with the body phi that came down and its head h_k:

        h_k <- h_k after head_epochs epochs of SGD on f_k(h, phi), phi standing still
        phi_k <- phi after the steps of ``local`` on f_k(h_k, phi), h_k standing still
        phi_{t+1} = sum over k in S_t of p_k * phi_k

    p_k is worker k's share of the examples (the paper samples workers and weighs all alike). Heads
    never leave their worker; all begin with that of the initial model. For workers that label alike
    inputs otherwise, or have few of the classes. Batch, learning rate, momentum and clipping of
    ``local`` hold for both phases. Running statistics in the body follow the steps of both.

    Attributes:
        head: pattern of the names of the head's tensors, such as ``"head.*"``; None takes the
            model's last layer that has parameters.
        head_epochs: epochs in which the head is trained, at least 1; the paper takes 10.

    Raises:
        WrongType: head is no string, or head_epochs no whole number.
        WrongValue: head_epochs is below 1.
        UnknownKey: by ``keeps``, where the pattern matches no tensor.
        Misfit: by ``keeps``, where head or body have no parameters, or are tied.
    """

    head: str | None = None
    head_epochs: int = 10

    def __post_init__(self) -> None:
        if self.head is not None and not isinstance(self.head, str):
            raise WrongType("`head` of FedRep", "a pattern of names, or None", self.head)
        check_count(self, "head_epochs", 1)

    def keeps(self, tensors: Sequence[TensorInfo]) -> frozenset[str]:
        """The tensors of the head."""
        trained = [tensor for tensor in tensors if tensor.trained]
        found = held_by(tensors, partial(self._is_head, trained), "the head of FedRep")
        if self.head is not None and not found:
            place = "in `head` of FedRep: the model has no such tensor"
            raise UnknownKey("pattern", self.head, place, patterns_of(tensors))
        names = frozenset(tensor.name for tensor in found)
        heads = sum(tensor.trained for tensor in found)
        if not 0 < heads < len(trained):
            which = "head" if heads == 0 else "body"
            said = "its last layer" if self.head is None else f"what matches `{self.head}`"
            raise Misfit(
                f"FedRep needs parameters in head and body, but with {said} as the head the model "
                f"has none in its {which}; name other layers in `head`, or use FedAvg"
            )
        return names

    def _is_head(self, trained: Sequence[TensorInfo], name: str) -> bool:
        if self.head is not None:
            return fnmatchcase(name, self.head)
        return bool(trained) and name.rpartition(".")[0] == trained[-1].layer

    def phases(self, local: SGD) -> tuple[Phase, ...]:
        """The head, then the body."""
        head = replace(local, epochs=self.head_epochs, steps=None)
        return Phase("local", head), Phase("shared", local)
