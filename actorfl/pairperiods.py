"""The actor of a node that runs an algorithm between neighbours by a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from actorfl.algorithm import Scalar
from actorfl.cyclic import Cycle, Cyclic
from actorfl.fitresult import FitResult
from actorfl.flatmodel import Model
from actorfl.gossip.letters import Shares
from actorfl.local import SGD
from actorfl.pairfitting import fitted
from actorfl.pairing import (
    BadLetter,
    PairAlgorithm,
    PairCtx,
    PairState,
    begun,
    learned,
    merged,
    sent,
)
from actorfl.pairrounds import context_of
from actorfl.parcel import packed_each, unpacked
from actorfl.peerstate import Saved, load, save
from actorfl.runtext import RunText
from actorfl.seeds import seed_for
from actorfl.terms import Array
from actorfl.topology import Peers
from actors import ActorRef
from actors.crashpoints import crash_point

# Names in a node's state; what is its algorithm's own has a prefix.
_MINE: Final = "mine/"
_COUNTS: Final = ("round", "sent", "content", "merged", "refused")
_TIME, _AGE = "time", "age"


class PairGossiper(Cyclic):
    """Once a period a node trains, and sends what its algorithm says; what comes it merges.

    Messages come at most once. What an algorithm keeps beside the model is durable before anything
    leaves that counts on it; of one that keeps nothing the model is saved every so many periods.
    Before its first period a node takes nothing: so its first training starts from the initial
    model, whoever begins earlier.

    Args:
        name, index, run, gatherer, neighbours, at: see ``Cyclic``.
    """

    def __init__(
        self,
        *,
        name: str,
        index: int,
        run: RunText,
        gatherer: ActorRef,
        neighbours: dict[str, ActorRef],
        at: str,
    ) -> None:
        super().__init__(
            name=name, index=index, run=run, gatherer=gatherer, neighbours=neighbours, at=at
        )
        assert isinstance(self._run.algorithm, PairAlgorithm)
        assert isinstance(self._run.topology, Peers)
        self._algorithm = self._run.algorithm
        self._senders = frozenset(self._run.topology.senders(name))
        self._cycles = 0  # that are over
        self._trained = 0.0

    async def _load(self, initial: Model) -> float | None:
        saved = await load(self._snapshots, self._identity)
        if saved is None:
            state = PairState(initial.vector, initial.buffers)
            self._draw = self._drawn()
            self._state = begun(self._algorithm, self._ctx(), state)
            return None
        self._counter, self._cycles = saved.saves, saved.rounds
        self._draw = self._drawn()
        kept = saved.state
        self._state = PairState(
            saved.weights.vector, saved.weights.buffers,
            {k.removeprefix(_MINE): v for k, v in kept.items() if k.startswith(_MINE)},
        )  # fmt: skip
        self._round, self._sent, self._content, self._merged, self._refused = (
            int(kept[name]) for name in _COUNTS
        )
        self._trained = float(kept[_AGE])
        return float(kept[_TIME])

    async def _save(self) -> None:
        self._counter += 1
        counts = self._round, self._sent, self._content, self._merged, self._refused
        kept: dict[str, Array | Scalar] = dict(zip(_COUNTS, counts, strict=True))
        kept |= {_TIME: self._time, _AGE: self._trained}
        kept |= {f"{_MINE}{name}": value for name, value in self._state.mine.items()}
        saved = Saved(self._cycles, self._model, kept, self._counter)
        await save(self._snapshots, self._identity, saved)
        crash_point("worker.saved", self._cycles)

    @property
    def _model(self) -> Model:
        return Model(self._layout, self._state.weights, self._state.buffers)

    @property
    def _age(self) -> float:
        return self._trained

    def _ctx(self) -> PairCtx:
        return context_of(
            self._run,
            self._layout,
            self._name,
            self._cycles,
            examples=self._data.examples,
            draw=self._draws,
            # Which graph it is now is a matter of time: a node that was away has had fewer cycles.
            at=int(self._time / self._period.seconds),
        )

    def _draws(self, purpose: str) -> np.random.Generator:
        seed = seed_for(self._run.seed, self._name, self._cycles, f"draw {purpose}")
        return np.random.Generator(np.random.PCG64(seed))

    async def cycle(self, message: Cycle) -> None:
        """A period is over: train, send."""
        if not self._acts:
            return
        if self._algorithm.trains(self._cycles):
            await self._train()
        ctx = self._ctx()
        # A share for one who is away would lie on the way until it is back.
        ctx = replace(ctx, targets=tuple(filter(self._there, ctx.targets)))
        contents, self._state = sent(self._algorithm, ctx, self._state)
        self._cycles += 1
        if self._neighbours:
            self._tell_of_peers(bool(contents))
        # Packed before anything is saved: what is sent now is of this state.
        letters = [
            (to, weights, _size(contents[to])) for to, weights in packed_each(contents).items()
        ]
        if self._state.mine or self._cycles % self._period.save == 0:
            await self._save()
        for to, weights, size in letters:
            shares = Shares(self._identity, self._name, 0.0, weights)
            self._after_transfer(to, self._neighbours[to], shares, size)

    async def _train(self) -> None:
        local = self._run.local
        assert isinstance(local, SGD)
        start, number, mine = self._model, self._cycles, self._state.mine
        seed = seed_for(self._run.seed, self._name, number, "fit")

        def fit() -> FitResult:
            return fitted(
                self._task, self._data, self._name, start,
                local=local, seed=seed, number=number, correct=(self._algorithm, mine),
            )  # fmt: skip

        examples = float(local.examples_of(self._data.examples))
        result = await self._compute(fit, examples)
        self._trained += examples
        self._state = learned(
            self._algorithm,
            self._ctx(),
            self._state,
            start.vector,
            result.vector,
            buffers=result.buffers,
        )

    def shares(self, message: Shares) -> None:
        """A neighbour sent something."""
        try:
            if message.run != self._identity or message.sender not in self._senders:
                return
            self._heard(message.time)
            if not self._acts or not self._cycles:
                return
            if self._is_no_sender(message.sender, self._neighbours.get(message.sender)):
                return
            received = unpacked(message.content, self._layout).content
            state = merged(self._algorithm, self._ctx(), self._state, {message.sender: received})
        except (ValueError, TypeError, KeyError) as error:
            self._refused += 1
            if self._refused == 1:  # what comes again and again is counted
                known = isinstance(error, BadLetter)
                of = f"{self._name} can make nothing of what {message.sender} sent: {error}"
                sentence = str(error) if known else of
                self.publish("warning", sentence=sentence)
            return
        finally:
            message.content.release()
        self._state = state
        self._merged += 1


def _size(content: Mapping[str, Array | Scalar]) -> int:
    """Bytes of arrays, and eight for each scalar."""
    return sum(v.nbytes if isinstance(v, np.ndarray) else 8 for v in content.values())
