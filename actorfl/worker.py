"""The worker: asks for a clock, computes it in the training lane, puts its part, asks again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actorfl import fingerprint, memo
from actorfl.algorithm import Ctx
from actorfl.fingerprint import Fingerprint
from actorfl.kept import Kept
from actorfl.lane import lane_of
from actorfl.mean import Mean
from actorfl.partition import worker_data
from actorfl.protocol import Ack, Done, Go, Put, Ready, Refused, Stamp, Wait, unpack
from actorfl.runtext import RunText
from actorfl.seeds import seed_everything, seed_for
from actorfl.stepping import Stepping
from actorfl.task import Who
from actors import Actor, ActorRef, Message
from actors.crashpoints import crash_point
from transports import LinkFull, Transfer, Weights

if TYPE_CHECKING:
    from actorfl.algorithm import Mine
    from actorfl.task import Dataset

#: Seconds until what was not answered is said again. Idempotent and a few bytes (an update goes
#: again only when its transfer has ended), so the bound is how soon a restarted aggregator hears
#: of its workers, not the load: 1,000 workers are 4,000 messages a second at the worst.
RETRY = 0.25


class _Retry(Message[None]):
    pass


@dataclass(frozen=True)
class _Data:
    train: Dataset
    validation: Dataset | None
    examples: int


class Worker(Actor):
    """Holds one worker's data and computes its clocks.

    A step is a pure function of the state before it and of what came down; what it draws depends
    on (run seed, worker, clock, purpose). So a worker that is killed computes the same bits again.

    Args:
        name: of the worker.
        index: its place in the roster.
        run: what is to be done, and under which identity.
        aggregator: whom it works for.
    """

    def __init__(
        self,
        *,
        name: str,
        index: int,
        run: RunText,
        aggregator: ActorRef,
    ) -> None:
        self._name = name
        self._run = run.read()
        self._task = self._run.task.resolved(self._run.base)
        self._who = Who(name, index, len(self._run.topology.names))
        self._identity = run.identity
        self._aggregator = aggregator
        self._lane = lane_of(self.system.world)
        self._steps: Stepping[Put] = Stepping()
        self._transfer: tuple[int, Transfer] | None = None
        self._said = 0.0
        # Told until it is durable: a Go of a clock after that in which it was first heard leaves
        # after a checkpoint that knows of it. An aggregator that dies before would forget it.
        self._fingerprint: Fingerprint | None = None
        self._heard_in: int | None = None
        self._data: _Data | None = None
        self._kept = Kept(self.snapshots(f"snapshots/worker-{name}"))
        # Grows with each restart of the process and, within one, of the actor.
        self._incarnation = (self.system.generation << 20) | self.restarts

    async def on_start(self) -> None:
        """Load the data and what an algorithm keeps here, then ask for the first clock."""
        crash_point("worker.start")
        seed = seed_for(self._run.seed, self._name, 0, "load")
        self._data = await self._lane.run(self._load, seed=seed)
        self._fingerprint = await self._lane.run(fingerprint.measured)
        await self._kept.restore()
        self._ask()
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)

    def _load(self) -> _Data:
        from actorfl import batches

        run = self._run
        data = worker_data(self._task, self._who, run.partition, run.seed)
        if run.validate == 0.0:
            return _Data(data, None, batches.size_of(data))
        seed = seed_for(run.seed, self._name, 0, "split")
        train, held_back = batches.split(data, run.validate, seed)
        return _Data(train, held_back, batches.size_of(train))

    # -- the protocol ----------------------------------------------------------------------------

    async def go(self, message: Go) -> None:
        """Compute a clock, or put again what was computed for it."""
        stamp = message.stamp
        if stamp.run != self._identity:
            return
        if self._heard_in is None:
            self._heard_in = stamp.clock
        elif stamp.clock > self._heard_in:
            self._fingerprint = None
        again = self._steps.go(stamp.clock, stamp.version)
        if again is not None:
            self._put(again)
            return
        put = await self._compute(message)
        self._steps.computed(put, stamp.clock, stamp.version)
        self._put(put)

    def ack(self, message: Ack) -> None:
        """My part is in: on to the next clock."""
        if message.stamp.run == self._identity and self._steps.settled(message.stamp.clock):
            self._ask()

    def refused(self, message: Refused) -> None:
        """My part is not taken: the clock goes on without me."""
        if message.stamp.run == self._identity and self._steps.settled(message.stamp.clock):
            self._ask()

    def wait(self, message: Wait) -> None:
        """The others are not ready yet; the retry asks again."""
        if message.stamp.run == self._identity:
            self._steps.told(message.stamp.clock)

    def done(self, message: Done) -> None:
        """The run is over."""
        if message.stamp.run == self._identity:
            self.timers.cancel("retry")

    def retry(self, message: _Retry) -> None:
        """Say again what was not answered; never while an update is on its way."""
        if self.clock.now() - self._said < RETRY / 2:
            return  # this tick waited in the mailbox while a clock was computed
        if self._steps.putting is not None:
            self._put(self._steps.putting)
        else:
            self._ask()

    def _ask(self) -> None:
        assert self._data is not None
        self._said = self.clock.now()
        stamp = Stamp(self._identity, self._steps.clock, 0)
        with contextlib.suppress(LinkFull):  # then the next time
            self._aggregator.tell(
                Ready(
                    stamp,
                    self._name,
                    self._incarnation,
                    self._data.examples,
                    self.ref,
                    self._fingerprint,
                )
            )

    def _put(self, put: Put) -> None:
        """Send a part, unless it is on its way already."""
        if self._transfer is not None:
            clock, transfer = self._transfer
            if clock == put.stamp.clock and not transfer.done.done():
                return
        self._said = self.clock.now()
        with contextlib.suppress(LinkFull):  # then the next time
            sent = self._aggregator.send(put)
            self._transfer = None if sent is None else (put.stamp.clock, sent)
            crash_point("worker.put", put.stamp.clock)

    # -- computing -------------------------------------------------------------------------------

    async def _compute(self, go: Go) -> Put:
        stamp = go.stamp
        self.publish("fit", worker=self._name, clock=stamp.clock, version=stamp.version)
        mine = self._kept.before(stamp.clock)
        put, after = await self._lane.run(
            self._step, go, mine, seed=seed_for(self._run.seed, self._name, stamp.clock, "step")
        )
        if go.train and (mine or after):
            # Durable before the terms leave: a repeated request for this clock starts from `mine`.
            await self._kept.save(stamp.clock + 1, after)
            crash_point("worker.saved", stamp.clock)
        return put

    def _step(self, go: Go, mine: Mine) -> tuple[Put, Mine]:
        """One clock, in the training lane."""
        from actorfl import fit, model

        assert self._data is not None
        run, stamp = self._run, go.stamp
        start, integers, extras = unpack(go.weights)
        metrics: dict[str, Mean] = {}
        if go.evaluate and self._data.validation is not None:
            module = self._task.model()
            model.load(module, start, integers)
            metrics = fit.evaluate(self._task, module, self._data.validation)
        if not go.train:
            put = Put(stamp, self._name, self._incarnation, metrics, Mean(), None, None, self.ref)
            return put, mine
        algorithm = run.algorithm
        layout = model.layout_of(self._task.model())
        down = {"model": start, **extras}
        context = Ctx(
            layout, self._name, stamp.clock, start, start, down, mine,
            self._data.examples, 0, run.local.lr,
        )  # fmt: skip
        crash_point("worker.fit", stamp.clock)
        train = self._data.train
        seed = seed_for(run.seed, self._name, stamp.clock, "fit")
        result = memo.recalled(
            "fit",
            lambda: fit.fit(
                self._task, train, start, integers,
                local=run.local, seed=seed, hook=fit.gradient_hook(algorithm, context),
            ),
            self._name, stamp.clock, start, integers, extras, mine,
        )  # fmt: skip
        if memo.active():  # what is drawn from now on must not depend on whether it was computed
            seed_everything(seed)
        terms, after = algorithm.up(
            replace(context, weights=result.vector, steps=result.steps), mine
        )
        terms = terms.stated(
            worker=self._name,
            clock=stamp.clock,
            examples=result.examples,
            layout=layout,
            integers=result.buffers,
        )
        header, arrays = terms.to_wire()
        put = Put(
            stamp, self._name, self._incarnation, metrics, result.loss, header,
            Weights.of(arrays), self.ref,
        )  # fmt: skip
        return put, after
