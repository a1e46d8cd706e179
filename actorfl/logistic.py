"""Logistic regression in numpy: linear models whose learning rate falls with their age."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from actorfl.arrays import size_of
from actorfl.defined import check_defined
from actorfl.engine import Update
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.estimator import features_and_target
from actorfl.fingerprint import Fingerprint
from actorfl.fitresult import FitResult, GradientHook
from actorfl.flatmodel import Buffers, Model
from actorfl.gossip.sends import Indices
from actorfl.layout import Layout, Vector
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.numpyengine import NumpyEngine, fingerprint_of_numpy, orders, shape_of
from actorfl.parts import TensorInfo
from actorfl.task import Dataset, Task
from actorfl.threads import threads_per_fit

Floats = NDArray[np.float32]

_ONE = np.float32(1.0)

#: A model of a class takes memory in each of thousands of nodes; more is something else.
_MOST_CLASSES = 10_000


class LogisticTask(Task):
    """Base of tasks of logistic regression, which numpy computes: torch is never loaded.

    A subclass is a frozen dataclass that defines `features`, and exactly one of `train` and `pool`
    (see ``Task``); `classes` and `test` are optional. A dataset is a tuple of two numpy arrays:
    features, float32 of shape (examples, `features()`), best of mean 0 and deviation 1, and labels,
    whole numbers from 0 to `classes()` - 1. Two classes have one model, P(y=1) = sigmoid(w x + b);
    of more each has one against all others, and the highest score tells the class. A model begins
    with zeros. ``loss`` is the logarithmic one, in nats; ``accuracy`` is measured beside it.

    Under `Gossip` a node trains as Hegedűs, Danner and Jelasity do (JPDC 148, 2021): for each batch
    of B' examples the age t grows by B', and with r = ``local.lr`` / t the model moves by -r times
    the *sum* of the gradients plus ``local.weight_decay`` B' times the model, its bias included. In
    a star each step is that of plain SGD: ``local.lr`` times the *mean* gradient.
    """

    engine: ClassVar[str] = "actorfl.logistic:Logistic"

    @abstractmethod
    def features(self) -> int:
        """How many features an example has, at least 1."""
        raise NotImplementedError

    def classes(self) -> int:
        """How many classes there are, at least 2."""
        return 2

    def check(self) -> None:
        """Verify that the class defines what a task needs, see ``Task.check``."""
        check_defined(self, LogisticTask, "features")
        self.check_data()


class Logistic(NumpyEngine):
    """The engine of `LogisticTask`."""

    needs: ClassVar[Sequence[tuple[str, str]]] = (("safetensors", "torch"),)
    loads: ClassVar[tuple[str, ...]] = ("numpy", "actorfl.logistic")
    light: ClassVar[bool] = True
    tasks: ClassVar[str] = "a LogisticTask"

    def prepare(self, threads: int, seed: int) -> None:
        """Seed numpy and random; products of such sizes use one thread."""
        del threads
        self.seed(seed)

    def fingerprint(self) -> Fingerprint:
        """The version of numpy, and the hash of a small training."""
        return fingerprint_of_numpy(threads_per_fit(), capability="as numpy finds it")

    def initial(self, task: Task, run_seed: int) -> Model:
        """Zeros."""
        del run_seed
        layout = _layout(task)
        return Model(layout, layout.zeros(), {})

    def shape(self, task: Task) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
        """The layout of weights and biases."""
        return shape_of(_layout(task))

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
        """Plain SGD on the mean loss of each batch."""
        if still or needed_by:
            _refuse(needed_by or "an algorithm that lets parts stand still", task)
        columns = Columns.of(task, data)
        vector: Vector = start.copy()
        steps, loss = 0, Mean()
        for batch in orders(columns.examples, local, seed):
            inputs, wanted = columns.inputs[batch], columns.wanted[batch]
            model = columns.form.shaped(vector)
            scores = inputs @ model
            loss += Mean.of(_losses(scores, wanted))
            total = columns.form.flat(inputs.T @ (_sigmoid(scores) - wanted))
            gradient: Floats = total / np.float32(len(batch))
            if hook is not None:
                gradient = hook(gradient, vector, steps)
            pulled = gradient + np.float32(local.weight_decay) * vector
            vector = np.subtract(vector, np.float32(local.lr) * pulled, dtype=np.float32)
            steps += 1
        return FitResult(vector, dict(buffers), columns.examples, steps, loss)

    def gradient(self, task: Task, *_: Any, **__: Any) -> NoReturn:
        """There is none."""
        _refuse("an algorithm that takes gradients", task)

    def update(self, task: Task, data: Dataset, local: SGD, part_of: Indices) -> Update:
        """The training of a node under gossip, see `LogisticTask`."""
        return AgedUpdate(Columns.of(task, data), local, part_of)

    def evaluate(
        self, task: Task, vector: Vector, buffers: Buffers, data: Dataset
    ) -> dict[str, Mean]:
        """Loss and accuracy."""
        del buffers
        columns = Columns.of(task, data)
        if not columns.examples:
            return {"loss": Mean()}
        scores = columns.inputs @ columns.form.shaped(vector)
        right = _classes_of(scores) == columns.labels
        return {"loss": Mean.of(_losses(scores, columns.wanted)), "accuracy": Mean.of(right)}


@dataclass(frozen=True)
class _Form:
    """How a model is laid out.

    Attributes:
        models: 1 for two classes, else one for each.
        width: numbers of each, its bias last.
    """

    models: int
    width: int

    def shaped(self, vector: Vector) -> Floats:
        """A flat model as what inputs are multiplied by."""
        if self.models == 1:
            return vector
        wide = (self.width - 1) * self.models
        return np.vstack([vector[:wide].reshape(self.models, -1).T, vector[wide:]])

    def flat(self, model: Floats) -> Floats:
        """The other way round."""
        if self.models == 1:
            return model
        return np.concatenate([model[:-1].T.reshape(-1), model[-1]])


class Columns:
    """A dataset in the form that the arithmetic takes.

    Attributes:
        examples: how many.
        inputs: features and a last column of ones, float32, of shape (examples, d + 1).
        wanted: 1 where the example is of the class, else 0; of shape (examples,) for two classes,
            else (examples, classes).
        labels: of the examples.
        form: of its models.
    """

    def __init__(self, inputs: Floats, labels: NDArray[Any], classes: int) -> None:
        self.examples = len(inputs)
        ones = np.ones((len(inputs), 1), np.float32)
        self.inputs: Floats = np.ascontiguousarray(np.hstack([inputs, ones]), dtype=np.float32)
        self.labels = labels
        wanted = labels if classes == 2 else labels[:, None] == np.arange(classes)
        self.wanted: Floats = wanted.astype(np.float32)
        self.form = _Form(1 if classes == 2 else classes, self.inputs.shape[1])

    @classmethod
    def of(cls, task: Task, data: Dataset) -> Columns:
        """Those of a dataset; made once, as long as it is the same object.

        Raises:
            ConfigError: it has another form.
        """
        if _last.data is data and _last.task == task and _last.columns is not None:
            return _last.columns
        features, labels = features_and_target(data, type(task).__name__)
        classes = _classes(task)
        if features.ndim != 2 or features.shape[1] != _features(task):
            need = f"of shape (examples, {_features(task)})"
            raise WrongValue(f"the features of {type(task).__name__}", need, features.shape)
        if labels.dtype.kind not in "iu" or (
            size_of(data) and not 0 <= int(labels.min()) <= int(labels.max()) < classes
        ):
            need = f"whole numbers from 0 to {classes - 1}"
            raise WrongValue(f"the labels of {type(task).__name__}", need, np.unique(labels)[:5])
        made = cls(features, labels, classes)
        _last.task, _last.data, _last.columns = task, data, made
        return made


class AgedUpdate:
    """The local loop of gossip learning: the learning rate of a coordinate falls with its age.

    Args:
        columns: the node's data.
        local: ``lr`` is the rate at age 1, ``weight_decay`` the regularisation.
        part_of: for each coordinate the place of its age.
    """

    def __init__(self, columns: Columns, local: SGD, part_of: Indices) -> None:
        self._examples, self._form = columns.examples, columns.form
        self._lr = local.lr
        self._decay = local.weight_decay
        self._size = local.batch_of(columns.examples) if columns.examples else 1
        self._steps = local.steps_of(columns.examples)
        ends = np.arange(self._size, columns.examples + self._size, self._size)
        self._after = np.minimum(ends, columns.examples)  # examples after each step of an epoch
        counts = range(self._size + 1)
        self._decays = (self._decay * np.array(counts)).astype(np.float32)
        # Halves and doubles are exact: they change no bit of a score that is finite, and save three
        # passes of each step.
        self._halves: Floats = np.multiply(columns.inputs, 0.5, dtype=np.float32)
        self._twice: Floats = np.multiply(columns.wanted, 2.0, dtype=np.float32)
        # Of one part, and the biases: all ages are the same.
        self._part_of = None if int(part_of.max(initial=0)) <= 1 else part_of

    def __call__(
        self, weights: Vector, ages: NDArray[np.float64], draw: np.random.Generator
    ) -> tuple[Vector, NDArray[np.float64]]:
        """Train.

        Args:
            weights: the model; it is left alone.
            ages: of its parts, and last its own.
            draw: the order of the examples.

        Returns:
            The model and the ages after.
        """
        form, examples, size, left = self._form, self._examples, self._size, self._steps
        part_of, model, grown = self._part_of, weights, 0
        while left > 0 and examples:
            order = draw.permutation(examples)
            halves, twice = self._halves.take(order, 0), self._twice.take(order, 0)
            starts = range(0, examples, size)[:left]
            left -= len(starts)
            rates = self._rates(ages, grown, len(starts))
            for at, rate in zip(starts, rates, strict=True):
                batch = halves[at : at + size]
                # Twice what sigmoid misses, times half of the inputs: 2 sigmoid(x) = 1 + tanh(x/2).
                missed: Floats = batch @ form.shaped(model)
                np.tanh(missed, missed)
                missed += _ONE
                missed -= twice[at : at + size]
                move = model * self._decays[len(batch)]
                gradient: Floats = missed @ batch if missed.ndim == 1 else batch.T @ missed
                move += form.flat(gradient)
                move *= rate if part_of is None else rate.take(part_of)
                model = np.subtract(model, move, move)
            grown += min(examples, len(starts) * size)
        return model, ages + grown

    def _rates(self, ages: NDArray[np.float64], grown: int, steps: int) -> Floats:
        """The learning rate of each step of an epoch; where parts differ, of each part and all.

        Args:
            ages: before the loop.
            grown: by how much they are older when the epoch begins.
            steps: of the epoch.
        """
        after = self._after[:steps] + grown
        at = ages[-1] + after if self._part_of is None else ages + after[:, None]
        rates: Floats = (self._lr / at).astype(np.float32)
        return rates


class _Last:
    """The dataset whose columns were made last, of the nodes of a process one after another."""

    task: Task | None = None
    data: Dataset | None = None
    columns: Columns | None = None


_last = _Last()


def _sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-scores)), which overflows nowhere: scores of some 1e5 are usual at first."""
    values: Floats = np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * scores))
    return values


def _losses(scores: Floats, wanted: Floats) -> NDArray[np.float64]:
    """The logarithmic loss of each example, added up over the models of its classes."""
    wide = scores.astype(np.float64)
    if np.isfinite(wide).all():
        each = np.logaddexp(0.0, wide) - wanted * wide
    else:  # of a model that diverged: infinity less infinity is no loss
        with np.errstate(invalid="ignore"):
            each = np.logaddexp(0.0, np.where(wanted > 0, -wide, wide))
    return each if each.ndim == 1 else each.sum(axis=1)


def _classes_of(scores: Floats) -> NDArray[np.intp]:
    found: NDArray[np.intp]
    found = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
    return found


def _layout(task: Task) -> Layout:
    classes = _classes(task)
    models = 1 if classes == 2 else classes
    return Layout.build(
        [
            ("weight", (models, _features(task)), "float32", "parameter"),
            ("bias", (models,), "float32", "parameter"),
        ]
    )


def _features(task: Task) -> int:
    assert isinstance(task, LogisticTask)
    return _number(task, "features", task.features(), 1, 1 << 30)


def _classes(task: Task) -> int:
    assert isinstance(task, LogisticTask)
    return _number(task, "classes", task.classes(), 2, _MOST_CLASSES)


def _number(task: Task, name: str, value: object, least: int, most: int) -> int:
    what = f"{name}() of {type(task).__name__}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise WrongType(what, "a whole number", value)
    if not least <= value <= most:
        raise WrongValue(what, f"from {least} to {most}", value)
    return int(value)


def _refuse(algorithm: str, task: Task) -> NoReturn:
    raise Misfit(
        f"{algorithm} needs a model of torch, and {type(task).__name__} is computed by numpy; use "
        "FedAvg, or a task of torch"
    )
