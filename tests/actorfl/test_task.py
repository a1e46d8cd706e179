"""Tasks: what a class must define, and where its relative paths lead."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actorfl.errors import ConfigError, WrongValue
from actorfl.task import Batch, Dataset, Task, Who


@dataclass(frozen=True)
class Headless(Task):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return torch.zeros(())

    def pool(self) -> Dataset:
        return (torch.zeros(3),)


@dataclass(frozen=True)
class WithoutData(Task):
    def model(self) -> nn.Module:
        return nn.Linear(1, 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return torch.zeros(())


@dataclass(frozen=True)
class Owned(WithoutData):
    path: str = "data/{name}.csv"
    root: Path = Path("more")
    log_dir: str = "logs"
    weights_file: str = "~/w.bin"
    profile: str = "fast"
    depth: int = 3
    dir: str = ""
    file: str = "s3://bucket/x"

    def train(self, who: Who) -> Dataset:
        return (torch.zeros(3),)


@dataclass(frozen=True)
class Both(Owned):
    def pool(self) -> Dataset:
        return (torch.zeros(3),)


def test_a_task_with_neither_train_nor_pool_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"WithoutData has no data; define train\(who\)"):
        WithoutData()


def test_a_task_with_both_train_and_pool_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Both defines both train\(who\) and pool\(\)"):
        Both()


def test_a_task_without_model_or_loss_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="Headless does not define model"):
        Headless()


def test_the_base_class_is_no_task() -> None:
    with pytest.raises(ConfigError, match="base class"):
        Task()


def test_a_task_knows_whether_a_partitioner_deals_out_its_data() -> None:
    from actorfl.data.digits import Digits

    assert Digits().pooled
    assert not Owned().pooled


def test_test_data_and_metrics_are_optional() -> None:
    assert Owned().test() is None
    assert Owned().metrics(nn.Linear(1, 1), (torch.zeros(1),)) == {}


def test_relative_paths_start_from_the_given_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/her")
    task = Owned().resolved(Path("/runs/a"))
    assert isinstance(task, Owned)
    assert task.path == "/runs/a/data/{name}.csv"
    assert task.root == Path("/runs/a/more")
    assert task.log_dir == "/runs/a/logs"
    assert task.weights_file == "/home/her/w.bin"
    assert (task.profile, task.depth, task.dir, task.file) == ("fast", 3, "", "s3://bucket/x")


def test_absolute_paths_stay() -> None:
    task = Owned(path="/d/x.csv", root=Path("/r"), log_dir="/l", weights_file="/w")
    assert task.resolved(Path("/runs")) == task


def test_a_relative_base_is_made_absolute() -> None:
    task = Owned().resolved(Path())
    assert isinstance(task, Owned)
    assert task.path == str(Path.cwd() / "data/{name}.csv")


def test_resolving_twice_changes_nothing() -> None:
    once = Owned().resolved(Path("/a"))
    assert once.resolved(Path("/b")) == once


@pytest.mark.parametrize("index", [-1, 3])
def test_a_worker_outside_of_its_roster_is_refused(index: int) -> None:
    with pytest.raises(WrongValue, match="index of worker w9"):
        Who("w9", index, 3)
