"""Refusals of runs whose readout cannot be solved for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.algorithms.averagedreadout import AveragedReadout
from actorfl.algorithms.readoutadmm import ReadoutADMM
from actorfl.algorithms.readoutconsensus import ReadoutConsensus
from actorfl.algorithms.ridgereadout import RidgeReadout
from actorfl.errors import Misfit
from actorfl.esn.task import EchoStateTask
from actorfl.partitions.contiguous import Contiguous
from actorfl.partitions.groups import ByGroup

if TYPE_CHECKING:
    from actorfl.run import Run

_SOLVING = (RidgeReadout, AveragedReadout, ReadoutConsensus, ReadoutADMM)


def check_readout(run: Run) -> None:
    """Refuse what does not solve for a readout where there is one, and the reverse.

    Raises:
        Misfit: a sentence that says what to change.
    """
    algorithms = () if run.node is not None else (run.algorithm, *(a for _, a in run.algorithm_of))
    task = type(run.task).__name__
    if not isinstance(run.task, EchoStateTask):
        for one in algorithms:
            if isinstance(one, _SOLVING):
                raise Misfit(
                    f"{type(one).__name__} solves for the readout of an echo-state network, and "
                    f"{task} has none; give it an EchoStateTask, or use FedAvg"
                )
        return
    for algorithm in algorithms:
        if algorithm.takes_steps:
            raise Misfit(
                f"{type(algorithm).__name__} merges what steps have trained, and the readout of "
                f"{task} is solved for; use RidgeReadout, or ReadoutConsensus without a centre"
            )
    if len(set(algorithms)) > 1:
        raise Misfit(
            f"the readout of {task} is solved for once, at the root, and the levels have "
            "different algorithms; give one for all"
        )
    if run.has_local_parts or run.parts.has("mean"):
        raise Misfit(f"the readout of {task} is solved for as a whole; remove `parts`")
    if run.baselines:
        raise Misfit(f"`baselines` train by steps, and {task} takes none; remove it")
    if run.task.pooled and not isinstance(run.partition, Contiguous | ByGroup):
        raise Misfit(
            f"{type(run.partition).__name__} deals out steps of a series one by one, and the "
            f"reservoir of {task} needs stretches of it; use partition=Contiguous()"
        )
