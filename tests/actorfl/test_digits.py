"""The digits task: its data, its model, and the accuracy that federated averaging reaches."""

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from actorfl import model
from actorfl.batches import gather, size_of
from actorfl.data import digits
from actorfl.data.digits import Digits
from actorfl.errors import MissingExtra, MissingFile
from actorfl.fit import evaluate, fit
from actorfl.local import SGD
from actorfl.partition import Iid, worker_data
from actorfl.seeds import seed_for
from actorfl.task import Dataset, Who


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the lane; on a busy machine two threads wait for each other at each step."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_split_has_1437_and_360_examples_of_all_classes() -> None:
    task = Digits()
    train, test = (whole(data) for data in (task.pool(), task.test()))
    assert (len(train[0]), len(test[0])) == (1437, 360)
    assert torch.bincount(test[1]).min() >= 35
    assert sorted(set(train[1].tolist())) == list(range(10))


def test_the_split_is_the_one_that_scikit_learn_draws() -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels, labels, test_size=0.2, random_state=0, stratify=labels)
    ours = (*whole(Digits().pool()), *whole(Digits().test()))
    for mine, theirs in zip(ours, (parts[0] / 16, parts[2], parts[1] / 16, parts[3]), strict=True):
        assert torch.equal(mine, torch.tensor(theirs, dtype=mine.dtype))


def test_pixels_are_float32_in_the_unit_interval_and_labels_are_integers() -> None:
    images, labels = whole(Digits().pool())
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.shape == (1437, 64)
    assert (images.min().item(), images.max().item()) == (0.0, 1.0)


def test_the_model_is_softmax_regression() -> None:
    layout = model.layout_of(Digits().model())
    assert layout.shapes == (("weight", (10, 64)), ("bias", (10,)))


def test_without_scikit_learn_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    digits._load.cache_clear()
    with pytest.raises(MissingExtra, match=r"the digits task needs `scikit-learn`.*pip install"):
        Digits().pool()


def test_another_file_of_scikit_learn_is_refused_by_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "digits.csv.gz"
    for content, sentence in (
        (gzip.compress(b"0,1\n"), "that of the digits has 6ebb3d2fee24"),
        (b"no gzip", "not a gzipped file"),
    ):
        file.write_bytes(content)
        with pytest.raises(MissingFile, match=f"{sentence}.*install scikit-learn again"):
            digits._content(file)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_centralised_training_for_100_epochs_reaches_the_reference() -> None:
    task = Digits()
    start = model.initial(task, 0)
    local = SGD(lr=0.1, batch=10, epochs=100)
    result = fit(task, task.pool(), start.vector, start.buffers, local=local, seed=0)
    assert accuracy(task, result.vector) == pytest.approx(0.967, abs=0.01)


def test_ten_iid_workers_reach_the_reference_in_round_20() -> None:
    assert federated_accuracy(0) == pytest.approx(0.944, abs=0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_mean_of_five_seeds_is_the_reference() -> None:
    mean = np.mean([federated_accuracy(seed) for seed in range(5)])
    assert mean == pytest.approx(0.944, abs=0.02)


def federated_accuracy(seed: int) -> float:
    """FedAvg by a plain loop: 10 workers, 5 epochs, batches of 10, 20 rounds."""
    task, local = Digits(), SGD(lr=0.1, batch=10, epochs=5)
    names = [f"w{index}" for index in range(10)]
    shards = [worker_data(task, Who(name, i, 10), Iid(), seed) for i, name in enumerate(names)]
    start = model.initial(task, seed)
    vector = start.vector
    for clock in range(20):
        results = [
            fit(task, data, vector, {}, local=local, seed=seed_for(seed, name, clock, "fit"))
            for name, data in zip(names, shards, strict=True)
        ]
        total = sum(result.examples for result in results)
        summed = sum(result.vector.astype(np.float64) * result.examples for result in results)
        vector = np.asarray(summed / total, np.float32)
    return accuracy(task, vector)


def accuracy(task: Digits, vector: "np.typing.NDArray[np.float32]") -> float:
    module = task.model()
    model.load(module, vector, {})
    return evaluate(task, module, task.test())["accuracy"].value


def whole(dataset: Dataset) -> tuple[torch.Tensor, ...]:
    return gather(dataset, range(size_of(dataset)))
