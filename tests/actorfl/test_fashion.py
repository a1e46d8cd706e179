"""Fashion-MNIST: read where it is installed, and refused in a sentence where it is not."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from actorfl import Run, model
from actorfl.batches import gather, labels_of, size_of
from actorfl.data.fashion import DEBIAN, FashionMNIST
from actorfl.errors import MissingFile, WrongValue

PLACE = Path(os.environ.get("FASHION_MNIST", DEBIAN))
TRAIN = "train-images-idx3-ubyte"
installed = pytest.mark.skipif(
    not (PLACE / f"{TRAIN}.gz").exists(),
    reason=f"needs the files of Debian's dataset-fashion-mnist in {DEBIAN}, or in $FASHION_MNIST",
)


def task() -> FashionMNIST:
    return FashionMNIST(path=str(PLACE))


@installed
def test_there_are_6000_examples_to_train_on_and_1000_to_test_on_of_each_class() -> None:
    for data, each in ((task().pool(), 6000), (task().test(), 1000)):
        labels = labels_of(data)
        assert labels is not None
        assert np.bincount(labels).tolist() == [each] * 10
        assert size_of(data) == 10 * each


@installed
def test_the_model_learns_from_its_batches() -> None:
    batch = gather(task().pool(), range(200))
    assert (batch[0].dtype, batch[0].shape) == (torch.uint8, (200, 784))
    assert int(batch[0].max()) == 255
    torch.manual_seed(0)
    module = FashionMNIST(hidden=()).model()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses: list[Tensor] = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(task().loss(module, batch))
        losses[-1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert 2.0 < losses[0].item() < 2.7
    assert losses[-1].item() < 0.9
    assert task().metrics(module, batch)["accuracy"].value > 0.7


@installed
def test_files_that_are_not_packed_are_read_too(tmp_path: Path) -> None:
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(gzip.decompress((PLACE / f"{name}.gz").read_bytes()))
    plain, packed = FashionMNIST(path=str(tmp_path)).test(), task().test()
    for mine, theirs in zip(gather(plain, range(50)), gather(packed, range(50)), strict=True):
        assert torch.equal(mine, theirs)


def test_files_that_are_absent_are_told_with_the_package_that_has_them(tmp_path: Path) -> None:
    sentence = rf"{TRAIN}.gz: there is no such file; install Debian's package .*, or set `path`"
    with pytest.raises(MissingFile, match=sentence):
        FashionMNIST(path=str(tmp_path)).pool()


def test_the_environment_says_where_they_are_unless_the_task_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_MNIST", str(tmp_path / "there"))
    with pytest.raises(MissingFile, match=f"there/{TRAIN}.gz"):
        FashionMNIST().pool()
    with pytest.raises(MissingFile, match=f"here/{TRAIN}.gz"):
        FashionMNIST(path=str(tmp_path / "here")).pool()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (TRAIN, b"another", "its content has SHA-256 .*; get the file again"),
        (f"{TRAIN}.gz", gzip.compress(bytes(50_000_000)), "its content has SHA-256"),
        (f"{TRAIN}.gz", b"another", "not a gzipped file"),
        (f"{TRAIN}.gz", gzip.compress(b"another")[:-9], "compressed file ended"),
    ],
    ids=["other", "larger", "unpacked", "cut"],
)
def test_a_file_that_is_another_is_refused(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MissingFile, match=f"{name}: {reason}"):
        FashionMNIST(path=str(tmp_path)).pool()


def test_the_model_is_the_perceptron_that_its_sizes_say() -> None:
    assert [shape for _, shape in model.layout_of(FashionMNIST().model()).shapes] == [
        (200, 784), (200,), (200, 200), (200,), (10, 200), (10,),
    ]  # fmt: skip
    softmax = model.layout_of(FashionMNIST(hidden=()).model())
    assert [shape for _, shape in softmax.shapes] == [(10, 784), (10,)]
    with pytest.raises(WrongValue, match="a size in `hidden` of FashionMNIST must be from 1 to"):
        FashionMNIST(hidden=(200, 0))


def test_its_path_starts_from_the_file_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'task = { kind = "fashion", path = "data", hidden = [30] }\n'
        'topology = { workers = 3, kind = "star" }\nalgorithm = "fedavg"\n'
        "local = { kind = 'sgd', lr = 0.1 }\nuntil = { rounds = 1 }\n"
    )
    run = Run.from_toml(file)
    assert run.resolved_task == FashionMNIST(path=str(tmp_path / "data"), hidden=(30,))
