"""Fashion-MNIST, 28x28 pixels of ten kinds of clothes, learned by a perceptron of two layers.

Xiao et al. 2017, MIT licence. Nothing is downloaded: the files come with Debian's package
dataset-fashion-mnist, or from a directory of yours.
"""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from actorfl.data.checksum import check_sha256
from actorfl.data.perceptron import check_hidden, perceptron
from actorfl.errors import MissingFile
from actorfl.mean import Mean
from actorfl.task import Batch, Dataset, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist has the files."""

# Examples, and the SHA-256 of the content: the packed files differ with who packed them.
_IMAGES = {
    "train": (60_000, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "t10k": (10_000, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
}
_LABELS = {
    "train": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_PIXELS = 28 * 28


@dataclass(frozen=True)
class FashionMNIST(Task):
    """A multilayer perceptron on Fashion-MNIST: 60,000 examples to train on, 10,000 to test.

    Images are uint8 of shape ``(784,)`` and become float32 pixels / 255 in [0, 1] in a batch, so
    that a process holds a quarter of what they would take; labels are int64 in [0, 10), 6000 of
    each to train on.

    Args:
        path: directory with the four files under their usual names, ``train-images-idx3-ubyte``
            and so on, with ``.gz`` or without; without it the one that the environment variable
            ``FASHION_MNIST`` names, else that of Debian's package.
        hidden: sizes of the hidden layers, each 1 to 4096; none for softmax regression.

    Raises:
        WrongValue: a size is out of range.
    """

    path: str = ""
    hidden: tuple[int, ...] = (200, 200)

    def __post_init__(self) -> None:
        self.check()
        check_hidden(self, self.hidden)

    def model(self) -> nn.Module:
        """Build 784 -> hidden -> 10 logits, ReLU between; torch's default initialisation."""
        return perceptron(_PIXELS, self.hidden, 10)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the mean cross-entropy, in nats."""
        from torch.nn import functional

        images, labels = batch
        return functional.cross_entropy(model(images.float() / 255), labels)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        """Measure the accuracy, in [0, 1]."""
        images, labels = batch
        return {"accuracy": Mean.of(model(images.float() / 255).argmax(1) == labels)}

    def pool(self) -> Dataset:
        """Load the 60,000 training examples.

        Raises:
            MissingFile: a file is not there, or is another one.
        """
        return _load(self._directory, "train")

    def test(self) -> Dataset:
        """Load the 10,000 test examples.

        Raises:
            MissingFile: a file is not there, or is another one.
        """
        return _load(self._directory, "t10k")

    @property
    def _directory(self) -> Path:
        return Path(self.path or os.environ.get("FASHION_MNIST") or DEBIAN)


@lru_cache(maxsize=2)  # the two parts: every worker of a process asks for them
def _load(directory: Path, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    count, of_images = _IMAGES[part]
    # Of an IDX file: 4 bytes that say what follows, and 4 for each dimension.
    pixels = _content(directory / f"{part}-images-idx3-ubyte", 16 + count * _PIXELS, of_images)
    labels = _content(directory / f"{part}-labels-idx1-ubyte", 8 + count, _LABELS[part])
    return (
        np.frombuffer(pixels, np.uint8, offset=16).reshape(count, _PIXELS),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def _content(file: Path, size: int, sha256: str) -> bytes:
    """Read a file, packed or not, and refuse one that is another than it should be."""
    packed = file.with_name(f"{file.name}.gz")
    found = file if file.is_file() else packed
    try:
        with found.open("rb") if found is file else gzip.open(found) as opened:
            content = opened.read(size + 1)
    except FileNotFoundError as error:
        raise MissingFile(
            packed,
            "there is no such file; install Debian's package dataset-fashion-mnist, or set `path` "
            "of the task, or $FASHION_MNIST, to the directory with the four files of Fashion-MNIST",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingFile(found, reason.lower()) from error
    check_sha256(found, content, sha256, "Fashion-MNIST", "get the file again")
    return content
