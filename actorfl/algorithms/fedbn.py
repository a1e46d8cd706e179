"""Federated averaging whose workers keep their normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import Misfit
from actorfl.parts import TensorInfo


@dataclass(frozen=True)
class FedBN(FedAvg):
    """FedBN: FedAvg of all but the normalisation layers, which are each worker's own.

    Li et al., "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", ICLR
    2021, Algorithm 1:

        w_{t+1, l} = sum over k in S_t of p_k * w_{k, l}   for each layer l that does not normalise,
        w_{k, l} stays at worker k for the others

    p_k is worker k's share of the examples. What stays are weights, biases, running means and
    variances and counters of torch's batch and instance normalisation, and of LayerNorm, GroupNorm
    and RMSNorm; all workers begin with those of the initial model. For workers whose inputs differ
    (other scanners, cameras, hands), which a common normalisation would blur. It has no
    hyper-parameters.

    Deviation from the paper: it means batch normalisation alone; other normalisation layers stay
    as well.

    Raises:
        Misfit: by ``keeps``, where the model has no such layers.
    """

    def keeps(self, tensors: Sequence[TensorInfo]) -> frozenset[str]:
        """All tensors of normalisation layers."""
        names = frozenset(tensor.name for tensor in tensors if tensor.normalises)
        if not names:
            raise Misfit(
                "FedBN keeps normalisation layers at their worker, but the model has none that "
                "holds tensors; use FedAvg, or name what is to stay in `parts`"
            )
        return names
