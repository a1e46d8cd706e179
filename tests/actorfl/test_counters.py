"""Integer buffers of a model, such as BatchNorm's counter of batches, between neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from actorfl import ASP, BSP, SGD, Gossip, Period, RingGraph, Rounds, Run
from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.algorithms.epidemic import EpidemicLearning
from actorfl.errors import RunFailed
from actorfl.pairing import PairAlgorithm
from actorfl.sync import Sync
from actors import Simulated
from tests.faults.tasks import Counting


@pytest.mark.parametrize(
    ("algorithm", "sync"),
    [
        (DPSGD("beside"), BSP()),
        (DPSGD("before"), BSP()),
        (ADPSGD(), ASP()),
        (EpidemicLearning(), Period(1.0, save=2)),
    ],
    ids=repr,
)
def test_a_counter_counts_all_rounds_in_the_final_models(
    algorithm: PairAlgorithm, sync: Sync, tmp_path: Path
) -> None:
    run = Run(
        Counting(), RingGraph(3), algorithm, sync=sync, until=Rounds(3),
        local=SGD(lr=0.05, batch=8, steps=2),
    )  # fmt: skip
    result = run.start(on=Simulated(1), out=tmp_path)
    files = list((result.directory / "models").glob("*.safetensors"))
    assert len(files) == 3
    for file in files:
        counted = int(load_file(file)["1.num_batches_tracked"])
        assert counted >= 6 if isinstance(sync, Period) else counted == 6


def test_gossip_learning_refuses_a_model_that_counts(tmp_path: Path) -> None:
    run = Run(
        Counting(), RingGraph(3), Gossip(), sync=Period(1.0), until=Rounds(2),
        local=SGD(lr=0.05, batch=8),
    )  # fmt: skip
    with pytest.raises(RunFailed, match=r"and the model has 1\.num_batches_tracked; use Epidemic"):
        run.start(on=Simulated(1), out=tmp_path)
