"""Every partition trains wherever a run can be carried out, to the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actorfl import (
    ByGroup,
    ByLabel,
    Contiguous,
    Dirichlet,
    Iid,
    Partitioner,
    Quantity,
    Rounds,
    Shards,
    SingleClass,
    Star,
    Who,
)
from actorfl.batches import labels_of
from actorfl.errors import ConfigError, Misfit
from actorfl.partition import deal, worker_data
from actorfl.registry import SLOTS
from actorfl.run import Run
from actors import Inline, Processes, Simulated
from actors.deploy import Deployment
from tests.faults.runs import carry_out, small
from tests.faults.tasks import Pooled

PARTITIONS: dict[str, Partitioner] = {
    "iid": Iid(),
    "contiguous": Contiguous(),
    "shards": Shards(2),
    "label": ByLabel(1),
    "group": ByGroup(),
    "dirichlet": Dirichlet(0.5),
    "quantity": Quantity(0.5),
    "single-class": SingleClass(),
}
SAMPLED = "sampled"  # deals nothing out; examples/simulate trains with it


@dataclass(frozen=True)
class Strange(Pooled):
    """Names its groups in a way that cannot be."""

    how: str = "short"

    def groups(self) -> Any:
        return {
            "short": ["a", "b"],
            "table": [[1, 2]] * 200,
            "floats": [0.5] * 200,
            "nothing": None,
        }[self.how]


def test_every_kind_is_tried_here() -> None:
    assert SLOTS["partition"].kinds.keys() == PARTITIONS.keys() | {SAMPLED}


@pytest.mark.parametrize("kind", PARTITIONS)
def test_a_partition_gives_the_same_model_in_one_process_and_in_a_simulation(
    kind: str, tmp_path: Path
) -> None:
    run = small(task=Pooled(), partition=PARTITIONS[kind], until=Rounds(1))
    alone, simulated = [run.start(on, out=tmp_path) for on in (Inline(), Simulated(2))]
    assert alone.sha256 == simulated.sha256
    assert alone.merged
    assert Run.from_toml(alone.directory / "run.toml") == run


@pytest.mark.timeout(120)
async def test_a_partition_gives_the_same_model_over_processes(tmp_path: Path) -> None:
    run = small(task=Pooled(), partition=ByGroup(), until=Rounds(1))
    alone, several = [await carry_out(run, tmp_path, on) for on in (Inline(), Processes(2))]
    assert alone.sha256 == several.sha256


@pytest.mark.parametrize("on", [Inline(), Simulated(2)], ids=["inline", "simulated"])
def test_a_worker_that_may_have_nothing_trains_nothing_and_holds_up_nobody(
    on: Deployment, tmp_path: Path
) -> None:
    scarce = Dirichlet(1e-9, min_size=0)
    parts = deal(Pooled(), 4, scarce, small().seed)[1]
    assert [len(part) for part in parts].count(0) >= 2
    run = small(task=Pooled(), partition=scarce, until=Rounds(2))
    assert run.start(on, out=tmp_path).rounds == 2


def test_the_groups_of_a_task_stay_whole() -> None:
    groups = np.array(Pooled().groups())
    _, parts = deal(Pooled(), 3, ByGroup(), 5)
    assert sorted(len(set(groups[part])) for part in parts) == [2, 2, 3]
    assert sum(len(part) for part in parts) == 200


def test_what_a_worker_gets_is_its_part_of_the_deal() -> None:
    pool, parts = deal(Pooled(), 4, Dirichlet(0.3), 9)
    labels = labels_of(pool)
    assert labels is not None
    for index, part in enumerate(parts):
        own = labels_of(worker_data(Pooled(), Who(f"w{index}", index, 4), Dirichlet(0.3), 9))
        assert own is not None
        assert own.tolist() == labels[part].tolist()


def test_a_task_without_groups_is_refused_before_anything_starts() -> None:
    with pytest.raises(Misfit, match=r"task Digits names none; give it a method groups\(\)"):
        small(task="digits", partition="group")


@pytest.mark.parametrize(
    ("how", "got"),
    [
        ("short", "got 2 of numpy's type <U1"),
        ("table", r"got an array of shape \(200, 2\)"),
        ("floats", "got 200 of numpy's type float64"),
        ("nothing", "got None"),
    ],
)
def test_groups_that_do_not_fit_the_pool_are_refused(how: str, got: str) -> None:
    sentence = f"groups.* of Strange must give one integer or string for each of the 200 .*{got}"
    with pytest.raises(ConfigError, match=sentence):
        deal(Strange(how), 3, ByGroup(), 0)


def test_more_workers_than_groups_are_refused() -> None:
    with pytest.raises(Misfit, match="8 workers cannot share 7 groups, each of which stays whole"):
        deal(Pooled(), Star(8).workers or 0, ByGroup(), 0)
