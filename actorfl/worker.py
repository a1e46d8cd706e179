"""The worker: asks for a clock, computes it in the training lane, puts its part, asks again."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from actorfl import step
from actorfl.algorithm import Mine
from actorfl.contributors import keeps_at_workers
from actorfl.engine import engine_of
from actorfl.errors import BeyondHelp
from actorfl.fingerprint import Fingerprint
from actorfl.kept import Kept, folder_of
from actorfl.lane import lane_of
from actorfl.protocol import Ack, Done, Go, Put, Ready, Refused, Stamp, Wait
from actorfl.runtext import RunText
from actorfl.stay import by_worker
from actorfl.step import Data, Given, Made
from actorfl.stepping import Stepping
from actorfl.task import who_of
from actors import Actor, ActorRef, Message
from actors.crashpoints import crash_point
from actors.snapshot import KEPT
from transports import LinkFull, Transfer, Weights

#: Kind of the event that a run with ``record`` publishes for each step: SHA-256 of its input, of
#: the data, and of the result.
COMPUTED: Final = "computed"

#: Seconds until what was not answered is said again. Idempotent and a few bytes (an update goes
#: again only when its transfer has ended), so the bound is how soon a restarted aggregator hears
#: of its workers, not the load; of many workers see ``retry_of``.
RETRY = 0.25
# Workers whose questions are no load.
_FEW = 100
# Bytes of arrays that travel in one piece, of the same size as `Limits.inline`.
_LITTLE = 1 << 16
# Where there are more, what a restarted aggregator is to be asked at the latest, in retries.
_MOST_RETRIES = 10


def retry_of(workers: int) -> float:
    """Seconds until each of so many workers says something again.

    All may live in one process, and a clock of many takes longer than ``RETRY``: questions whether
    it is over would then be most of what the process does. At the worst 100 workers say 400
    messages a second, so do 1,000, and 65,536 say 26,000.
    """
    return RETRY * min(max(1.0, workers / _FEW), _MOST_RETRIES)


class _Retry(Message[None]):
    pass


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
        self._who = who_of(self._run.topology, index)
        self._identity = run.identity
        self._aggregator = aggregator
        self._lane = lane_of(self.system.world, self._task)
        self._steps: Stepping[Put] = Stepping()
        self._transfer: tuple[int, Transfer] | None = None
        self._said = 0.0
        self._retry = retry_of(len(self._run.topology.names))
        # Told until it is durable: a Go of a clock after that in which it was first heard leaves
        # after a checkpoint that knows of it. An aggregator that dies before would forget it.
        self._fingerprint: Fingerprint | None = None
        self._heard_in: int | None = None
        self._data: Data | None = None
        self._hash_of_data = ""
        keep = None if self._run.record else KEPT
        self._kept = Kept(self.snapshots(folder_of(name), keep=keep))
        self._keeps = keeps_at_workers(self._run)
        # Who is not asked in each clock, or joins late, starts some from the state of an older one.
        here = self._run.select is None and name not in by_worker(self._run.stays, [name])
        self._each_leaves = self._keeps and here
        # Grows with each restart of the process and, within one, of the actor.
        self._incarnation = (self.system.generation << 20) | self.restarts

    async def on_start(self) -> None:
        """Load the data and what an algorithm keeps here, then ask for the first clock."""
        crash_point("worker.start")
        seed = step.load_seed(self._run, self._name)
        self._data = await self._lane.run(step.load, self._run, self._task, self._who, seed=seed)
        self._fingerprint = await self._lane.run(engine_of(self._task).fingerprint)
        await self._kept.restore()
        self._ask()
        self.timers.start("retry", _Retry(), after=self._retry, every=self._retry)

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
        # What a clock leaves here must be what its part says; so it is computed once, where any
        # version will do.
        again = self._steps.go(
            stamp.clock, stamp.version, any_version=message.additive and message.train
        )
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
        if self.clock.now() - self._said < self._retry / 2:
            return  # this tick waited in the mailbox while a clock was computed
        if self._steps.putting is not None and not self._steps.held:
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
        since = min(go.since, stamp.clock) if isinstance(go.since, int) else stamp.clock
        self._check_kept(since, stamp.clock)
        if go.train:
            await self._kept.take_back(since, stamp.clock)
        given = Given(
            stamp.clock, go.train, go.evaluate, go.weights, self._kept.before(since), go.additive,
        )  # fmt: skip
        assert self._data is not None
        seed = step.step_seed(self._run, self._name, stamp.clock)
        through = step.examples_of(self._run, self._data.examples) if go.train else None
        examples = None if through is None else float(through)
        made, hashes = await self._lane.run(self._step, given, seed=seed, examples=examples)
        if hashes:
            self.publish(COMPUTED, worker=self._name, clock=stamp.clock, **hashes)
        if go.train and (given.mine or made.mine or self._keeps):
            # Durable before the terms leave: a repeated request for this clock starts from `mine`.
            await self._keep(stamp.clock, made.mine, since)
        return Put(
            stamp, self._name, self._incarnation, made.metrics, made.loss, made.header,
            made.weights, self.ref, waits=self._waits(made.weights),
        )  # fmt: skip

    def _waits(self, weights: Weights | None) -> bool:
        """Whether a part with these arrays may be answered by the next clock, see ``Put``."""
        # One that is long on its way would be put again before a late answer is there.
        return self._fingerprint is None and weights is not None and weights.nbytes <= _LITTLE

    def _check_kept(self, since: int, clock: int) -> None:
        """Refuse to go on as if nothing had been kept.

        Raises:
            BeyondHelp: the state from which a clock starts is gone.
        """
        why = self._kept.lost(since, clock, always=self._each_leaves)
        if why is not None:
            raise BeyondHelp(
                f"{self._name} goes on from what it kept before its round {since + 1}, and {why}, "
                "so the model would have other bits; put the file back, or start the run anew"
            )

    async def _keep(self, clock: int, after: Mine, since: int) -> None:
        """Make the state durable that a clock has left, which went on from that of another."""
        await self._kept.save(clock + 1, after, since)
        crash_point("worker.saved", clock)

    def _step(self, given: Given) -> tuple[Made, dict[str, Any]]:
        """One clock, in the training lane; and what is recorded of it."""
        assert self._data is not None
        made = step.step(self._run, self._task, self._name, self._data, given)
        if not self._run.record or not given.train:
            return made, {}
        return made, {
            "input": given.sha256(),
            "data": self._data_sha256(),
            "result": made.sha256(),
        }

    def _data_sha256(self) -> str:
        if not self._hash_of_data:
            assert self._data is not None
            self._hash_of_data = self._data.sha256()
        return self._hash_of_data
