"""The engine of estimators with ``partial_fit``: numpy and the estimator's library alone."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import ConfigError, Misfit, WrongType, WrongValue
from actorfl.estimator import EstimatorTask, features_and_target
from actorfl.fingerprint import Fingerprint
from actorfl.fitresult import FitResult, GradientHook
from actorfl.flatmodel import Buffers, Model
from actorfl.layout import Layout, Vector
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.numpyengine import NumpyEngine, fingerprint_of_numpy, orders, shape_of
from actorfl.parts import TensorInfo
from actorfl.seeds import seed_for
from actorfl.task import Dataset, Task
from actors.suggest import shown

_RATES = ("eta0", "learning_rate_init")
_LIBRARIES = ("scikit-learn", "scipy")
# A random_state of scikit-learn is a number of 32 bits.
_STATES = 1 << 32


class Estimators(NumpyEngine):
    """See ``EstimatorTask``."""

    needs: ClassVar[Sequence[tuple[str, str]]] = (("sklearn", "torch"), ("safetensors", "torch"))
    loads: ClassVar[tuple[str, ...]] = ("sklearn", "actorfl.worker", "actorfl.estimators")
    tasks: ClassVar[str] = "an EstimatorTask"

    def fingerprint(self) -> Fingerprint:
        """Versions, and the hash of a small training in numpy."""
        from threadpoolctl import threadpool_info

        pools = [int(pool["num_threads"]) for pool in threadpool_info()]
        versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
        return fingerprint_of_numpy(max(pools, default=1), libraries=versions)

    def initial(self, task: Task, run_seed: int) -> Model:
        """What the estimator has before it learns: zeros, or the random layers of a network."""
        made = _made(task, seed_for(run_seed, "", 0, "init"))
        if hasattr(made, "coef_"):  # linear: what it has learned of nothing is nothing
            for array in _task(task).arrays(made).values():
                array[...] = 0
        return _extracted(task, made)

    def shape(self, task: Task) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
        """The layout of the coefficients."""
        return shape_of(_extracted(task, _made(task, 0)).layout)

    def fit(
        self,
        task: Task,
        data: Dataset,
        start: Vector,
        buffers: Buffers,
        *,
        local: SGD,
        seed: int,
        hook: GradientHook | None = None,
        still: Collection[str] = (),
        needed_by: str = "",
    ) -> FitResult:
        """Train batch by batch, by ``partial_fit``."""
        if hook is not None or still or needed_by:
            _refuse(needed_by or "this algorithm", task)
        features, target = features_and_target(data, type(task).__name__)
        made = _loaded(task, seed, start)
        rate = {name: local.lr for name in _RATES if name in made.get_params()}
        made.set_params(**rate)
        loss, steps = Mean(), 0
        for batch in orders(len(features), local, seed):
            given, wanted = features[batch], target[batch]
            loss += Mean.of(_task(task).loss_of(made, given, wanted))
            made.partial_fit(given, wanted)
            steps += 1
        trained = _extracted(task, made)
        return FitResult(trained.vector, trained.buffers, len(features), steps, loss)

    def gradient(self, task: Task, *_: Any, **__: Any) -> NoReturn:
        """There is none: refused by ``Run``, too."""
        _refuse("an algorithm that takes gradients", task)

    def evaluate(
        self, task: Task, vector: Vector, buffers: Buffers, data: Dataset
    ) -> dict[str, Mean]:
        """The loss and the metrics of the task."""
        features, target = features_and_target(data, type(task).__name__)
        if not len(features):
            return {"loss": Mean()}
        made = _loaded(task, 0, vector)
        loss = Mean.of(_task(task).loss_of(made, features, target))
        return {"loss": loss, **_task(task).metrics_of(made, features, target)}


def _task(task: Task) -> EstimatorTask:
    assert isinstance(task, EstimatorTask)
    return task


def _refuse(algorithm: str, task: Task) -> NoReturn:
    raise Misfit(
        f"{algorithm} corrects or counts steps, and {type(task).__name__} takes them in "
        "partial_fit, where nobody sees them; use FedAvg, or a task of torch"
    )


def _made(task: Task, seed: int) -> Any:
    """An estimator that knows its shape: it has learned one example of zeros of each class."""
    own, name = _task(task), type(task).__name__
    features, classes = _shape(own)
    made: Any = own.estimator()
    if not callable(getattr(made, "partial_fit", None)):
        raise ConfigError(
            f"estimator() of {name} returned {shown(made)}, which has no partial_fit; return one "
            "that learns batch by batch, such as SGDClassifier()"
        )
    params = made.get_params()
    if "random_state" in params:
        made.set_params(random_state=seed % _STATES)
    if params.get("warm_start"):
        raise ConfigError(
            f"{type(made).__name__} of {type(task).__name__} has warm_start=True, so it would keep "
            "what others have learned; leave it out"
        )
    if params.get("learning_rate") == "optimal":
        raise ConfigError(
            f"{type(made).__name__} of {type(task).__name__} has learning_rate='optimal', which "
            "heeds no `lr` and would begin anew in each round; give it learning_rate='constant'"
        )
    examples = np.zeros((max(1, len(classes)), features))
    if len(classes):
        made.partial_fit(examples, classes, classes=classes)
    else:
        made.partial_fit(examples, np.zeros(1))
    return made


def _shape(task: EstimatorTask) -> tuple[int, NDArray[Any]]:
    """How many features an example has, and the classes; none for a regressor."""
    name = type(task).__name__
    features: object = task.features()
    if isinstance(features, bool) or not isinstance(features, int | np.integer):
        raise WrongType(f"features() of {name}", "a whole number", features)
    if features < 1:
        raise WrongValue(f"features() of {name}", "at least 1", features)
    returned: object = task.classes()
    try:
        classes = np.asarray(returned)
    except ValueError:
        classes = np.empty((0, 0))
    if classes.ndim != 1 or (len(classes) and classes.dtype.kind not in "iu"):
        raise WrongType(f"classes() of {name}", "whole numbers, such as range(10)", returned)
    if len(classes) == 1 or (np.diff(classes) <= 0).any():
        raise WrongValue(
            f"classes() of {name}", "at least two, in rising order, or none for a regressor",
            list(classes.tolist()),
        )  # fmt: skip
    return int(features), classes


def _loaded(task: Task, seed: int, vector: Vector) -> Any:
    made = _made(task, seed)
    arrays = _task(task).arrays(made)
    layout = _layout(arrays)
    layout.check(vector)
    for name, array in arrays.items():
        array[...] = layout.view(vector, name)
    # A network's optimizer has the learning rate and the momenta of its first step, which only gave
    # it its shape; without one it makes another.
    vars(made).pop("_optimizer", None)
    return made


def _extracted(task: Task, made: Any) -> Model:
    arrays = _task(task).arrays(made)
    layout = _layout(arrays)
    vector = np.concatenate([np.ravel(array) for array in arrays.values()]).astype(np.float32)
    return Model(layout, vector, {})


def _layout(arrays: dict[str, NDArray[np.floating[Any]]]) -> Layout:
    return Layout.build(
        (name, array.shape, "float32", "parameter") for name, array in arrays.items()
    )
