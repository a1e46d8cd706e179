"""What neighbours send is looked at before it is merged, and what a node trained before it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from actorfl import ASP, BSP, SGD, CompleteGraph, RingGraph, Rounds, Run
from actorfl.algorithms.admm import ConsensusADMM
from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.algorithms.chocosgd import ChocoSGD
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.algorithms.epidemic import EpidemicLearning
from actorfl.algorithms.pushsum import PushSum
from actorfl.errors import BeyondHelp, RunFailed
from actorfl.pairing import BadLetter, Content, PairAlgorithm, begun, learned, merged, sent
from actorfl.sync import Sync
from actorfl.task import Dataset, Who
from actors import Simulated
from tests.actorfl.neighbours import Network
from tests.faults.linear import Linear, clouds

FLOATS = np.ones(5, np.float32)
ALL = [DPSGD(), EpidemicLearning(), ADPSGD(), ConsensusADMM(), PushSum(), ChocoSGD(fraction=1)]


@dataclass(frozen=True)
class Spoiled(Linear):
    """One node has a NaN in its data."""

    def train(self, who: Who) -> Dataset:
        points, labels = clouds(who.index, 20)
        if who.index == 1:
            points[3, 2] = np.nan
        return points, labels


def bad(content: Content, how: str) -> Content:
    """What a node sends, spoiled."""
    name = next(name for name, value in content.items() if np.asarray(value).dtype.kind == "f")
    array = np.array(content[name])
    if how in {"nan", "inf"}:
        array[-1] = float(how)
    elif how == "short":
        array = array[:1]
    elif how == "wide":
        array = np.ones((3, 5), array.dtype)
    elif how == "whole numbers":
        array = array.astype(np.int64)
    elif how == "no array":
        return {**content, name: 1.0}
    elif how == "another name":
        return {**content, "other": array}
    elif how == "no name":
        return {}
    elif how == "a buffer":
        return {**content, "buffer/seen": np.ones(1, np.int64)}
    return {**content, name: array}


@pytest.mark.parametrize("algorithm", ALL, ids=repr)
@pytest.mark.parametrize(
    "how",
    [
        "nan", "inf", "short", "wide", "whole numbers", "no array", "another name", "no name",
        "a buffer",
    ],
)  # fmt: skip
def test_a_letter_that_is_not_of_this_model_is_refused_by_name(
    algorithm: PairAlgorithm, how: str
) -> None:
    network = Network(algorithm, RingGraph(3), dict.fromkeys(RingGraph(3).names, FLOATS))
    letters, _ = sent(algorithm, network.ctx("w1"), network.state["w1"])
    good = letters["w0"]
    state = begun(algorithm, network.ctx("w0"), network.state["w0"])
    merged(algorithm, network.ctx("w0"), state, {"w1": good})
    with pytest.raises(BadLetter, match="what w1 sent w0 in round 0 is refused: "):
        merged(algorithm, network.ctx("w0"), state, {"w1": bad(good, how)})


def test_a_model_that_training_spoiled_goes_nowhere() -> None:
    network = Network(DPSGD(), RingGraph(3), dict.fromkeys(RingGraph(3).names, FLOATS))
    after = FLOATS.copy()
    after[2] = np.nan
    with pytest.raises(BeyondHelp, match="what w2 trained in round 0 is not finite: lower"):
        learned(DPSGD(), network.ctx("w2"), network.state["w2"], FLOATS, after)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("algorithm", "sync"), [(DPSGD(), BSP()), (ADPSGD(), ASP())], ids=repr)
def test_a_run_ends_with_the_node_whose_data_is_spoiled(
    algorithm: PairAlgorithm, sync: Sync, tmp_path: Path
) -> None:
    run = Run(
        Spoiled(), CompleteGraph(3), algorithm, until=Rounds(3), local=SGD(lr=1.0, batch=10),
        sync=sync,
    )  # fmt: skip
    with pytest.raises(RunFailed, match="what w1 trained in round 0 is not finite"):
        run.start(on=Simulated(1), out=tmp_path)
