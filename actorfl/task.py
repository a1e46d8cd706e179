"""What is learned: a model, its loss and its data, written once by the user.

Nothing here imports torch: an aggregator or the command line may hold a task without paying for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from actorfl.errors import ConfigError, WrongValue
from actorfl.local import SGD

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from actorfl.mean import Mean
    from actorfl.ownfit import FitCtx
    from actorfl.topology import Topology

    Batch: TypeAlias = tuple[Tensor, ...]
    Dataset: TypeAlias = torch.utils.data.Dataset[Any] | Sequence[Tensor | NDArray[np.generic]]
else:
    Batch: TypeAlias = tuple
    Dataset: TypeAlias = Any

_PATH_NAMES = frozenset({"path", "root", "dir", "file"})
_PATH_ENDINGS = ("_path", "_dir", "_file")


@dataclass(frozen=True)
class Who:
    """The worker for which data is asked.

    Attributes:
        name: Its name in the topology (``w0``, ``w1``, ... unless the topology names them).
        index: Its place in the roster, from 0.
        count: How many workers the roster has; ``index < count``.
        labels: What the topology says about it, such as ``{"site": "north"}``.
    """

    name: str
    index: int
    count: int
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            need = f"at least 0 and below the roster's count of {self.count}"
            raise WrongValue(f"index of worker {self.name}", need, self.index)


def who_of(topology: Topology, index: int) -> Who:
    """A worker of a topology, as its task is told of it."""
    names = topology.names
    return Who(names[index], index, len(names), topology.labels_of(names[index]))


@dataclass(frozen=True)
class Task:
    """Base of every task; subclass it as a frozen dataclass whose fields TOML can hold.

    A subclass defines `model`, `loss` and exactly one of `train` (each worker has data of its own)
    and `pool` (one data set that a partitioner deals out). `groups`, `test`, `metrics` and
    `default_local` are optional. All methods run in the training lane; torch, numpy and random are
    seeded, so what they draw repeats.

    A *dataset* is a map-style torch ``Dataset``, or a tuple or list of tensors or numpy arrays with
    equal first dimension. A *batch* is a tuple of tensors in memory of its own, one for each
    element of the dataset, with the batch as first dimension.
    """

    #: What computes it, as ``module:Class``; see ``actorfl.engine``.
    engine: ClassVar[str] = "actorfl.torchengine:TorchEngine"
    #: What a worker does in a clock where the run does not say it.
    default_local: ClassVar[SGD] = SGD(lr=0.1, batch=10)

    def __post_init__(self) -> None:
        self.check()

    def model(self) -> nn.Module:
        """Build the model, freshly initialised; called once for each piece of work.

        Returns:
            A module whose parameters are float32, float16 or bfloat16.
        """
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute what is minimised: the mean over the batch.

        Returns:
            A tensor with one element, from which ``backward`` runs.
        """
        raise NotImplementedError

    def train(self, who: Who) -> Dataset:
        """Load the data that worker `who` owns."""
        raise NotImplementedError

    def pool(self) -> Dataset:
        """Load the data of all workers together; a partitioner gives each its part."""
        raise NotImplementedError

    def groups(self) -> Sequence[int] | Sequence[str] | NDArray[np.generic]:
        """Name the group of each example of `pool`, such as who wrote it; for `ByGroup` alone.

        Returns:
            As many integers or strings as the pool has examples, in its order.
        """
        raise NotImplementedError

    def test(self) -> Dataset | None:
        """Load the data on which the global model is evaluated; None where there is none."""
        return None

    def fit(self, ctx: FitCtx) -> None:
        """Train ``ctx.model`` in place in one clock, instead of the local loop; optional.

        Steps that are taken by ``ctx.optimizer(ctx.model.parameters())`` are corrected and counted
        by the algorithm; one that needs this refuses a fit that moves the model otherwise.

        Args:
            ctx: the model, the data, the settings of the local loop, and its batches.
        """
        raise NotImplementedError

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        """Measure the model on one batch, in evaluation mode and without gradients.

        Returns:
            Sums and counts by name, which add up over batches and workers. ``loss`` is always
            measured, so the name is taken.
        """
        del model, batch
        return {}

    @property
    def pooled(self) -> bool:
        """Whether a partitioner deals out the data, or each worker has its own."""
        return _overrides(self, "pool")

    @property
    def fits(self) -> bool:
        """Whether the task trains by a ``fit`` of its own."""
        return _overrides(self, "fit")

    @property
    def grouped(self) -> bool:
        """Whether the task names the groups of its examples."""
        return _overrides(self, "groups")

    def check(self) -> None:
        """Verify that the class defines what a task needs.

        Called on construction; a subclass with a ``__post_init__`` of its own calls it there.

        Raises:
            ConfigError: `model` or `loss` is missing, or `train` and `pool` are both there or both
                missing.
        """
        kind = type(self).__name__
        if type(self) is Task:
            raise ConfigError(
                "Task is a base class; subclass it with model, loss and train or pool"
            )
        missing = [name for name in ("model", "loss") if not _overrides(self, name)]
        if missing:
            raise ConfigError(f"task {kind} does not define {' and '.join(missing)}; add it")
        self.check_data()

    def check_data(self) -> None:
        """Verify that the class says where its data come from.

        Raises:
            ConfigError: `train` and `pool` are both there or both missing.
        """
        kind = type(self).__name__
        train, pool = _overrides(self, "train"), _overrides(self, "pool")
        if not (train or pool):
            raise ConfigError(
                f"task {kind} has no data; define train(who), the data of one worker, "
                "or pool(), the data that a partitioner deals out"
            )
        if train and pool:
            raise ConfigError(
                f"task {kind} defines both train(who) and pool(); keep train where every worker "
                "has data of its own, pool where a partitioner deals it out"
            )

    def resolved(self, base: Path) -> Task:
        """Make relative paths absolute, so that every process reads the same files.

        A path is a field that holds a ``Path``, or a non-empty string in a field named ``path``,
        ``root``, ``dir`` or ``file``, or ending in ``_path``, ``_dir`` or ``_file``. ``~`` is the
        home directory; what has a scheme (``s3://...``) is left alone.

        Args:
            base: The directory of the TOML file or the script.

        Returns:
            A task whose paths are absolute; this one if nothing changes.
        """
        base = base.absolute()
        changes: dict[str, str | Path] = {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Path):
                changes[one.name] = base / value.expanduser()
            elif isinstance(value, str) and value and "://" not in value and _names_path(one.name):
                changes[one.name] = str(base / Path(value).expanduser())
        return dataclasses.replace(self, **changes) if changes else self


def _overrides(task: Task, name: str) -> bool:
    return getattr(type(task), name) is not getattr(Task, name)


def _names_path(name: str) -> bool:
    return name in _PATH_NAMES or name.endswith(_PATH_ENDINGS)
