"""A task whose model is an estimator with ``partial_fit``, such as those of scikit-learn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actorfl.defined import check_defined
from actorfl.errors import ConfigError
from actorfl.mean import Mean
from actorfl.task import Task

if TYPE_CHECKING:
    from actorfl.task import Dataset

_COEFFICIENTS = ("coef_", "intercept_", "coefs_", "intercepts_")
# Smallest probability whose logarithm is taken, as scikit-learn's log_loss does for float32.
_LEAST = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class EstimatorTask(Task):
    """Base of tasks that scikit-learn trains, without torch: its processes never load it.

    A subclass defines `estimator`, `features` and, for classifiers, `classes`, beside `train` or
    `pool`; `test`, `groups`, `loss_of` and `metrics_of` are optional. A *dataset* is a tuple of two
    numpy arrays, the features, shape ``(examples, features)``, and the target, shape
    ``(examples,)``.

    The model is what the estimator learns: ``coef_`` and ``intercept_``, or ``coefs_.0``,
    ``intercepts_.0``, ..., as float32. In each clock the estimator is made anew, given these, and
    trained batch by batch with ``partial_fit``; so a schedule of its learning rate begins anew, and
    a constant one is the right one. ``local`` says the batches, and its ``lr`` replaces ``eta0`` or
    ``learning_rate_init`` of the estimator; an estimator's own randomness is seeded.
    """

    engine: ClassVar[str] = "actorfl.estimators:Estimators"

    @abstractmethod
    def estimator(self) -> Any:
        """Make the estimator, such as ``SGDClassifier(loss="log_loss", alpha=0)``.

        Import scikit-learn here, so that an aggregator or the command line needs none.
        """

    @abstractmethod
    def features(self) -> int:
        """How many features an example has."""

    def classes(self) -> Sequence[int]:
        """All classes there are, for a classifier; none for a regressor."""
        return ()

    def loss_of(
        self, estimator: Any, features: NDArray[Any], target: NDArray[Any]
    ) -> NDArray[np.float64]:
        """The loss of each example.

        By default the logarithmic loss where the estimator tells probabilities, 0 or 1 of other
        classifiers, and the squared error of regressors.
        """
        classes = list(self.classes())
        if not classes:
            missed = np.asarray(estimator.predict(features), np.float64) - target
            return np.asarray(np.square(missed), np.float64)
        if not hasattr(estimator, "predict_proba"):
            return np.asarray(estimator.predict(features) != target, np.float64)
        chosen = np.searchsorted(classes, target)
        told = estimator.predict_proba(features)[np.arange(len(target)), chosen]
        return np.asarray(-np.log(np.maximum(told, _LEAST)), np.float64)

    def metrics_of(
        self, estimator: Any, features: NDArray[Any], target: NDArray[Any]
    ) -> dict[str, Mean]:
        """Measure the estimator on some examples; by default the accuracy of a classifier."""
        if not self.classes():
            return {}
        return {"accuracy": Mean.of(estimator.predict(features) == target)}

    def arrays(self, estimator: Any) -> dict[str, NDArray[np.floating[Any]]]:
        """What an estimator has learned, by name: its own arrays, which are written in place.

        Raises:
            ConfigError: it has nothing that is known here; then override this method.
        """
        found: dict[str, NDArray[np.floating[Any]]] = {}
        for name in _COEFFICIENTS:
            value = getattr(estimator, name, None)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                found[name] = value
            elif isinstance(value, list):
                found.update({f"{name}.{place}": array for place, array in enumerate(value)})
        if not found:
            raise ConfigError(
                f"{type(estimator).__name__} of {type(self).__name__} has learned nothing that is "
                f"called {', '.join(_COEFFICIENTS)}; override arrays() to name what it learns"
            )
        return found

    def check(self) -> None:
        """Verify that the class defines what a task needs, see ``Task.check``."""
        check_defined(self, EstimatorTask, "estimator", "features")
        self.check_data()


Columns = tuple[NDArray[Any], NDArray[Any]]


def features_and_target(data: Dataset, task: str) -> Columns:
    """The two arrays of a dataset.

    Raises:
        ConfigError: it has others.
    """
    from actorfl.arrays import needed

    columns = needed(data, task)
    if len(columns) != 2:
        raise ConfigError(
            f"the data of {task} are {len(columns)} arrays; return two, the features and the target"
        )
    return columns[0], columns[1]
