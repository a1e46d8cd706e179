"""Spambase: which of 4601 e-mails are spam, told by how often words and characters are in them.

Hopkins et al. 1999, UCI Machine Learning Repository, CC BY 4.0. Nothing is downloaded: the file
comes with Debian's package r-cran-kernlab, as R's data set ``spam``; R itself is not needed.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actorfl.data.perceptron import check_hidden, perceptron
from actorfl.data.splitting import stratified
from actorfl.errors import MissingFile
from actorfl.mean import Mean
from actorfl.task import Batch, Dataset, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    Columns = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]

DEBIAN = Path("/usr/lib/R/site-library/kernlab/data/spam.rda")
"""Where Debian's package r-cran-kernlab has the file."""

_ROWS = 4601
_FEATURES = 57
_TEST = 0.1  # share of the examples to test on
_LARGEST_FILE = 1 << 22  # twice the unpacked file; the packed one has 108 kB
_LARGEST_WINDOW = 1 << 26  # what unpacking xz may take: its own default takes 9 MB

# Of what R saved, the table alone is looked at: 58 columns, found by how they begin and known by
# their SHA-256. So nothing else of the format has to be read, nor who packed the file how.
_COLUMN = np.dtype([("type and length", ">i4", 2), ("values", ">f8", _ROWS)])
_CLASSES = np.dtype([("type and length", ">i4", 2), ("values", ">i4", _ROWS)])
_TABLE = np.dtype([("type and length", ">i4", 2), ("x", _COLUMN, _FEATURES), ("y", _CLASSES)])
_BEGIN = bytes.fromhex("00000313 0000003a")  # a list with attributes, of 58
_SHA256 = "e9587d31472373ac5a9bce5cd79d170dda3375e0960648f5c049a3382b75b801"

_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"BZh": lambda packed: bz2.BZ2Decompressor().decompress(packed, _LARGEST_FILE),
    b"\x1f\x8b": lambda packed: zlib.decompressobj(31).decompress(packed, _LARGEST_FILE),
    b"\xfd7zXZ": lambda packed: lzma.LZMADecompressor(memlimit=_LARGEST_WINDOW).decompress(
        packed, _LARGEST_FILE
    ),
}


@dataclass(frozen=True)
class Spambase(Task):
    """A linear model, or a perceptron, on Spambase: 4140 examples to train on, 461 to test.

    Features are float32 of shape ``(57,)``, less their mean and divided by their standard deviation
    over the examples to train on; labels are int64, 1 for spam, which are .394 of all. The split is
    stratified with ``random_state=1``. Centralised logistic regression reaches an accuracy of .920,
    a hidden layer of 64 one of .940.

    Args:
        path: the file ``spam.rda``; without it the one that the environment variable ``SPAMBASE``
            names, else that of Debian's package.
        hidden: sizes of the hidden layers, each 1 to 4096; none for logistic regression.

    Raises:
        WrongValue: a size is out of range.
    """

    path: str = ""
    hidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.check()
        check_hidden(self, self.hidden)

    def model(self) -> nn.Module:
        """Build 57 -> hidden -> 2 logits, ReLU between; torch's default initialisation."""
        return perceptron(_FEATURES, self.hidden, 2)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the mean cross-entropy, in nats."""
        from torch.nn import functional

        features, labels = batch
        return functional.cross_entropy(model(features), labels)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        """Measure the accuracy, in [0, 1]."""
        features, labels = batch
        return {"accuracy": Mean.of(model(features).argmax(1) == labels)}

    def pool(self) -> Dataset:
        """Load the 4140 examples to train on.

        Raises:
            MissingFile: the file is not there, or is another one.
        """
        return _load(self._file)[0]

    def test(self) -> Dataset:
        """Load the 461 examples to test on.

        Raises:
            MissingFile: the file is not there, or is another one.
        """
        return _load(self._file)[1]

    @property
    def _file(self) -> Path:
        return Path(self.path or os.environ.get("SPAMBASE") or DEBIAN)


@lru_cache(maxsize=1)  # every worker of a process asks for it
def _load(file: Path) -> tuple[Columns, Columns]:
    table = np.frombuffer(_table(file), _TABLE)[0]
    features = table["x"]["values"].T.astype(np.float64)
    labels = table["y"]["values"].astype(np.int64) - 1
    train, test = stratified(labels, _TEST, 1)
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    scaled = np.asarray((features - mean) / deviation, dtype=np.float32)
    return (scaled[train], labels[train]), (scaled[test], labels[test])


def _table(file: Path) -> bytes:
    """The bytes of the table in a file, packed or not; refused if it is another one."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_FILE)
        for magic, unpack in _UNPACK.items():
            if content.startswith(magic):
                content = unpack(content)
                break
    except FileNotFoundError as error:
        raise MissingFile(
            file,
            "there is no such file; install Debian's package r-cran-kernlab, or set `path` of the "
            "task, or $SPAMBASE, to the file spam.rda of it",
        ) from error
    except (OSError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingFile(file, reason.lower()) from error
    start = max(0, content.find(_BEGIN))
    table = content[start : start + _TABLE.itemsize]
    if hashlib.sha256(table).hexdigest() != _SHA256:
        raise MissingFile(
            file,
            f"it does not hold the table of Spambase, whose SHA-256 is {_SHA256[:12]}...; get the "
            "file again",
        )
    return table
