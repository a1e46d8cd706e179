"""The engine of tasks whose model is a torch module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actorfl.engine import Engine
from actorfl.errors import MissingExtra
from actorfl.seeds import seed_everything

if TYPE_CHECKING:
    from actorfl.fingerprint import Fingerprint
    from actorfl.fitresult import FitResult
    from actorfl.flatmodel import Buffers, Model
    from actorfl.layout import Layout, Vector
    from actorfl.mean import Mean
    from actorfl.parts import TensorInfo
    from actorfl.task import Dataset, Task


class TorchEngine(Engine):
    """Loads torch with the first thing that is asked of it, and not with this module."""

    needs: ClassVar[Sequence[tuple[str, str]]] = (("torch", "torch"), ("safetensors", "torch"))
    loads: ClassVar[tuple[str, ...]] = (
        "torch", "actorfl.worker", "actorfl.fit", "actorfl.model", "actorfl.fingerprint",
    )  # fmt: skip

    def prepare(self, threads: int, seed: int) -> None:
        """Set the threads, be deterministic, have gradients on, and seed."""
        try:
            import torch
        except ModuleNotFoundError as error:
            raise MissingExtra("torch", "torch", "training") from error
        # A count set in another thread does not reach this one, and a job may have changed it.
        torch.set_num_threads(threads)
        if torch.get_num_threads() != threads:
            raise RuntimeError(
                f"torch uses {torch.get_num_threads()} threads where {threads} were set; set "
                f"OMP_NUM_THREADS={threads} before the process starts"
            )
        # use_deterministic_algorithms would do the same, and import a compiler for it (1.3 s).
        torch.set_deterministic_debug_mode("error")
        torch.set_grad_enabled(True)
        seed_everything(seed)

    def seed(self, seed: int) -> None:
        """Seed torch, numpy and random."""
        seed_everything(seed)

    def fingerprint(self) -> Fingerprint:
        """See ``fingerprint.measured``."""
        from actorfl import fingerprint

        return fingerprint.measured()

    def subset(self, data: Dataset, indices: NDArray[np.int64]) -> Dataset:
        """See ``batches.subset``."""
        from actorfl import batches

        return batches.subset(data, indices)

    def split(self, data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """See ``batches.split``."""
        from actorfl import batches

        return batches.split(data, fraction, seed)

    def joined(self, datasets: Sequence[Dataset]) -> Dataset:
        """See ``batches.joined``."""
        from actorfl import batches

        return batches.joined(datasets)

    def initial(self, task: Task, run_seed: int) -> Model:
        """See ``model.initial``."""
        from actorfl import model

        return model.initial(task, run_seed)

    def shape(self, task: Task) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
        """See ``model.layout_of`` and ``model.described``."""
        from actorfl import model

        module = task.model()
        return model.layout_of(module), lambda: model.described(module)

    def fit(self, *arguments: Any, **settings: Any) -> FitResult:
        """See ``fit.fit``."""
        from actorfl import fit

        return fit.fit(*arguments, **settings)

    def gradient(self, *arguments: Any, **settings: Any) -> FitResult:
        """See ``fit.gradient``."""
        from actorfl import fit

        return fit.gradient(*arguments, **settings)

    def evaluate(
        self, task: Task, vector: Vector, buffers: Buffers, data: Dataset
    ) -> dict[str, Mean]:
        """See ``fit.evaluate``."""
        from actorfl import fit, model

        module = task.model()
        model.load(module, vector, buffers)
        return fit.evaluate(task, module, data)
