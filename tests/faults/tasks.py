"""Small tasks for runs in tests; processes load them from this file."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from actorfl import (
    Algorithm,
    Closed,
    Ctx,
    FedAvg,
    FitCtx,
    Krum,
    Mean,
    ParameterServer,
    ServerState,
    Sum,
    Task,
    Terms,
    Who,
)
from actorfl.algorithm import Mine
from actorfl.layout import Vector
from actorfl.merging import Merged
from actorfl.task import Batch, Dataset


def blobs(seed: int, examples: int) -> tuple[Tensor, Tensor]:
    """Two Gaussian classes in four dimensions."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(examples) % 2
    points = torch.randn(examples, 4, generator=generator) + 1.5 * labels[:, None]
    return points, labels


@dataclass(frozen=True)
class Blobs(Task):
    """Each worker has its own examples; sizes differ."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(model(batch[0]), batch[1])

    def train(self, who: Who) -> Dataset:
        return blobs(who.index, 30 + 10 * who.index)

    def test(self) -> Dataset:
        return blobs(1000, 200)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        return {"accuracy": Mean.of(model(batch[0]).argmax(1) == batch[1])}


@dataclass(frozen=True)
class Broad(Blobs):
    """A model of a megabyte, which does not travel in one frame."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 40_000), nn.ReLU(), nn.Linear(40_000, 2))


@dataclass(frozen=True)
class Gated(Blobs):
    """Training begins when a file is there; whoever waits takes no processor time from others."""

    gate: str = ""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        deadline = time.monotonic() + 120
        while not Path(self.gate).exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.gate} did not come")
            time.sleep(0.02)  # a poll under a limit
        return super().loss(model, batch)


@dataclass(frozen=True)
class Pooled(Task):
    """The workers share what is in one pool."""

    def model(self) -> nn.Module:
        return nn.Linear(4, 2)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(model(batch[0]), batch[1])

    def pool(self) -> Dataset:
        return blobs(0, 200)

    def groups(self) -> list[str]:
        return [f"writer {index % 7}" for index in range(200)]


@dataclass(frozen=True)
class Counting(Blobs):
    """With BatchNorm, whose counter of batches is an int64 buffer."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


@dataclass(frozen=True)
class Raising(Blobs):
    """Worker 1 cannot be trained."""

    def train(self, who: Who) -> Dataset:
        points, labels = blobs(who.index, 40)
        return points, labels, torch.full_like(labels, who.index)

    def test(self) -> Dataset:
        points, labels = blobs(1000, 20)
        return points, labels, torch.zeros_like(labels)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if batch[2][0] == 1:
            raise ZeroDivisionError("nothing can be learned here")
        return super().loss(model, batch)


@dataclass(frozen=True)
class Empty(Blobs):
    """Workers below ``without`` have no examples."""

    without: int = 1

    def train(self, who: Who) -> Dataset:
        return blobs(who.index, 0 if who.index < self.without else 30)


class _Endless(torch.utils.data.Dataset[tuple[Tensor, ...]]):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True)
class Endless(Blobs):
    """Each worker says that it has so many examples, and nobody gets to see one."""

    examples: int = 1 << 31

    def train(self, who: Who) -> Dataset:
        return _Endless(self.examples)


@dataclass(frozen=True)
class Killing(Blobs):
    """A process dies by SIGKILL when it first loads the data of worker 1."""

    marker_path: str = ""

    def train(self, who: Who) -> Dataset:
        marker = Path(self.marker_path)
        if who.index == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        return super().train(who)


@dataclass(frozen=True)
class Broken(FedAvg):
    """FedAvg, but one worker sends what must be refused."""

    how: str = "nan"
    who: str = "w1"

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        if ctx.worker != self.who:
            return super().up(ctx, mine)
        vector = ctx.result.copy()
        if self.how == "nan":
            vector[0] = float("nan")
        elif self.how == "huge":  # fits a grid that was widened twice
            vector[0] = 1e5
        elif self.how == "shape":
            vector = vector[:1]
        elif self.how == "key":
            return Terms(other=Sum(vector, ctx.examples)), mine
        elif self.how == "weight":
            return Terms(model=Sum(vector, ctx.examples + 1)), mine
        elif self.how == "fraction":  # what no Sum takes
            return Terms(model=Sum(vector, 0.5)), mine  # type: ignore[arg-type]  # the point
        return Terms(model=Sum(vector, ctx.examples)), mine


@dataclass(frozen=True)
class Crooked(Krum):
    """Krum, but one worker sends what must be refused, or lies."""

    how: str = "nan"
    who: str = "w1"

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        terms, mine = super().up(ctx, mine)
        if ctx.worker != self.who:
            return terms, mine
        vector = ctx.result.copy()
        vector[0] = float("nan") if self.how == "nan" else 1e30  # the latter fits no grid
        return Terms(model=Sum(vector)), mine


@dataclass(frozen=True)
class Misled(ParameterServer):
    """ParameterServer, but one worker sends what must be refused, or needs a wider grid."""

    how: str = "nan"
    who: str = "w1"

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        terms, mine = super().up(ctx, mine)
        if ctx.worker != self.who:
            return terms, mine
        (sent,) = terms.sums.values()
        assert isinstance(sent, Sum)
        vector, weight = sent.array.copy(), sent.weight
        if self.how == "nan":
            vector[-1] = float("nan")
        elif self.how == "wide":  # fits a grid that was widened once
            vector[-1] = 1e3
        elif self.how == "huge":  # fits none
            vector[-1] = 1e30
        elif self.how == "shape":
            vector = vector[:-1]
        elif self.how == "key":
            return Terms(other=Sum(vector, weight)), mine
        elif self.how == "weight":
            weight += 1
        return Terms(gradient=Sum(vector, weight)), mine


@dataclass(frozen=True)
class Fitful(FedAvg):
    """FedAvg, but of one worker every second update must be refused."""

    who: str = "w1"

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        vector = ctx.result.copy()
        if ctx.worker == self.who and ctx.clock % 2 == 1:
            vector[0] = float("nan")
        return Terms(model=Sum(vector, ctx.examples)), mine


@dataclass(frozen=True)
class Odd(FedAvg):
    """FedAvg, but some workers send another sum, and nobody knows before whose is right."""

    odd: str = "w3 w4"

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        if ctx.steps == 0:
            raise ValueError("nothing was trained")
        name = "other" if ctx.worker in self.odd.split() else "model"
        return Terms(**{name: Sum(ctx.result, ctx.examples)}), mine


@dataclass(frozen=True)
class Tally(Algorithm):
    """Counts on the worker how often it took part: its state must survive its process."""

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        count = int(mine.get("count", 0)) + 1
        drift = np.asarray(mine.get("drift", ctx.start * 0))
        after = {"count": count, "drift": ctx.delta + drift}
        return Terms(model=Sum(ctx.result, ctx.examples), count=count), after

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        # The tally moves the model, so a lost or doubled count shows in its bits.
        shift = terms.counts["count"] / 1024
        return state.replaced(terms["model"].mean()).moved(state.weights * 0 + shift)


@dataclass(frozen=True)
class Spread(Tally):
    """Tally, which says that the model may lie in shards."""

    elementwise: ClassVar[bool] = True


@dataclass(frozen=True)
class Exiting(Blobs):
    """Whatever trains exits its process."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        os._exit(7)


class UnspeakableError(Exception):
    """Cannot even be said."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@dataclass(frozen=True)
class Speechless(Blobs):
    """Fails with an exception whose text cannot be had."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        raise UnspeakableError


@dataclass(frozen=True)
class Outside(Blobs):
    """Depends on files that are no part of the run: one shifts its data, one scales its loss."""

    data_path: str = ""
    loss_path: str = ""

    def train(self, who: Who) -> Dataset:
        points, labels = blobs(who.index, 30 + 10 * who.index)
        return points + number_in(self.data_path), labels

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, batch) * (1.0 + number_in(self.loss_path))


def number_in(path: str) -> float:
    """What stands in a file; 0 where there is none."""
    file = Path(path)
    return float(file.read_text()) if file.is_file() else 0.0


@dataclass(frozen=True)
class Ledger(Algorithm):
    """Each worker sends the same whole numbers in each clock; what came of them is added up."""

    models: ClassVar[tuple[str, ...]] = ()
    deltas: ClassVar[tuple[str, ...]] = ("delta",)

    def begin(self, weights: Vector) -> ServerState:
        return ServerState(weights, vectors={"sent": np.zeros_like(weights)})

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        delta = entries(ctx.worker, ctx.start.size)
        given: dict[str, Any] = {"delta": Sum(delta), f"of/{ctx.worker}": 1}
        return Terms(**given), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        sent = state.vectors["sent"] + terms["delta"].sum()
        scalars = dict(state.scalars)
        for name, count in terms.counts.items():
            scalars[name] = int(scalars.get(name, 0)) + count
        return replace(state, vectors={"sent": sent}, scalars=scalars)


def entries(worker: str, size: int) -> Vector:
    """What a worker sends in each clock of ``Ledger``."""
    return (np.arange(size) * (2 + int(worker[1:])) % 11 - 5).astype(np.float32)


@dataclass(frozen=True)
class Wide(Blobs):
    """A model of 12,290 parameters: what goes along with each message no longer counts."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 1756), nn.ReLU(), nn.Linear(1756, 2))


@dataclass(frozen=True)
class Wider(Blobs):
    """A model of 24,586 parameters: too large to go to a process but once for each worker."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3512), nn.ReLU(), nn.Linear(3512, 2))


@dataclass(frozen=True)
class Fitting(Blobs):
    """Trains by a fit of its own that does what the local loop does, or does not."""

    how: str = "hooked"

    def fit(self, ctx: FitCtx) -> None:
        if self.how == "torch":
            own = torch.optim.SGD(ctx.model.parameters(), lr=ctx.local.lr)
            for batch in ctx.batches():
                own.zero_grad()
                self.loss(ctx.model, batch).backward()  # type: ignore[no-untyped-call]
                own.step()
            return
        optimizer = ctx.optimizer(ctx.model.parameters())
        for batch in ctx.batches():
            optimizer.zero_grad()
            loss = self.loss(ctx.model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            ctx.report(loss, len(batch[0]))
        if self.how == "and more":
            with torch.no_grad():
                next(ctx.model.parameters()).mul_(0.5)
