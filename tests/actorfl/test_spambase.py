"""Spambase: read where it is installed, and refused in a sentence where it is not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from actorfl import Run, model
from actorfl.batches import gather, labels_of, size_of
from actorfl.data.spambase import _LARGEST_FILE, DEBIAN, Spambase
from actorfl.errors import Misfit, MissingFile, WrongValue
from actorfl.fit import evaluate, fit
from actorfl.local import SGD

PLACE = Path(os.environ.get("SPAMBASE", DEBIAN))
installed = pytest.mark.skipif(
    not PLACE.exists(),
    reason=f"needs the file of Debian's r-cran-kernlab in {DEBIAN}, or in $SPAMBASE",
)


def task() -> Spambase:
    return Spambase(path=str(PLACE))


@installed
def test_the_split_has_4140_and_461_examples_with_the_same_share_of_spam() -> None:
    for data, spam in ((task().pool(), [2509, 1631]), (task().test(), [279, 182])):
        labels = labels_of(data)
        assert labels is not None
        assert np.bincount(labels).tolist() == spam
        assert size_of(data) == sum(spam)


@installed
def test_the_split_and_the_scale_are_those_of_scikit_learn() -> None:
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    train, test = (gather(data, range(size_of(data))) for data in (task().pool(), task().test()))
    assert (train[0].dtype, train[0].shape) == (torch.float32, (4140, 57))
    table = bz2.decompress(PLACE.read_bytes())
    columns = [np.frombuffer(table, ">f8", 4601, 55 + i * 36816) for i in range(57)]
    classes = np.frombuffer(table, ">i4", 4601, 55 + 57 * 36816) - 1
    expected = train_test_split(
        np.stack(columns, axis=1), classes, test_size=0.1, random_state=1, stratify=classes
    )
    scale = StandardScaler().fit(expected[0])
    for part, features, labels in ((train, *expected[::2]), (test, *expected[1::2])):
        np.testing.assert_allclose(part[0], scale.transform(features), rtol=1e-5, atol=1e-6)
        assert part[1].tolist() == labels.tolist()


@installed
def test_the_linear_model_learns_to_tell_spam() -> None:
    start = model.initial(task(), 0)
    local = SGD(lr=0.5, epochs=60)
    result = fit(task(), task().pool(), start.vector, start.buffers, local=local, seed=0)
    module = task().model()
    model.load(module, result.vector, {})
    assert evaluate(task(), module, task().test())["accuracy"].value == pytest.approx(
        0.92, abs=0.02
    )


@installed
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_file_that_is_packed_otherwise_is_read_too(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "other.rda"
    file.write_bytes(pack(bz2.decompress(PLACE.read_bytes())))
    monkeypatch.setenv("SPAMBASE", str(file))
    for mine, theirs in zip(
        gather(Spambase().test(), range(461)), gather(task().test(), range(461)), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_a_file_that_is_absent_is_told_with_the_package_that_has_it(tmp_path: Path) -> None:
    sentence = "spam.rda: there is no such file; install Debian's package .* or set `path` of the"
    with pytest.raises(MissingFile, match=sentence):
        Spambase(path=str(tmp_path / "spam.rda")).pool()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not hold the table of Spambase, whose SHA-256 is .*; get the file again"),
        (b"\0\0\3\x13\0\0\0\x3a" + bytes(2_200_000), "does not hold the table"),
        (bz2.compress(bytes(50 * _LARGEST_FILE)), "does not hold the table"),
        (gzip.compress(b"another")[:-9], "does not hold the table"),
        (b"BZh9another", "invalid data stream"),
        (b"\x1f\x8banother", "incorrect header check|unknown compression method"),
        (b"\xfd7zXZ\0another", "corrupt"),
    ],
    ids=["empty", "other", "larger", "cut", "no bzip2", "no gzip", "no xz"],
)
def test_a_file_that_is_another_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "spam.rda"
    file.write_bytes(content)
    with pytest.raises(MissingFile, match=f"spam.rda: .*({reason})"):
        Spambase(path=str(file)).pool()


def test_an_archive_that_would_take_much_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "spam.rda"
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 27}]
    file.write_bytes(lzma.compress(b"another", filters=filters))
    with pytest.raises(MissingFile, match="memory"):
        Spambase(path=str(file)).pool()


def test_the_model_is_what_its_sizes_say() -> None:
    assert [shape for _, shape in model.layout_of(Spambase().model()).shapes] == [(2, 57), (2,)]
    deep = model.layout_of(Spambase(hidden=(64,)).model())
    assert [shape for _, shape in deep.shapes] == [(64, 57), (64,), (2, 64), (2,)]
    with pytest.raises(WrongValue, match="a size in `hidden` of Spambase must be from 1 to"):
        Spambase(hidden=(5000,))


def test_its_path_starts_from_the_file_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'task = { kind = "spambase", path = "spam.rda" }\n'
        'topology = { workers = 3, kind = "star" }\nalgorithm = "krum"\n'
        "local = { kind = 'sgd', lr = 0.1 }\nuntil = { rounds = 1 }\n"
    )
    with pytest.raises(Misfit, match="Krum with f=1 needs at least 5"):
        Run.from_toml(file)
    run = Run.from_toml(file, ("topology.workers=5",))
    assert run.resolved_task == Spambase(path=str(tmp_path / "spam.rda"))
