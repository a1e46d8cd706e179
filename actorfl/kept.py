"""What an algorithm keeps at a worker between clocks, durable: SCAFFOLD's c_i, personal layers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from actorfl.algorithm import Mine, Scalar, check_travels
from actors import Snapshots
from transports import TensorSpec, Weights


def folder_of(worker: str) -> str:
    """Where the states of a worker lie in the storage of its run."""
    return f"snapshots/worker-{worker}"


class Kept:
    """The states from which a worker's last two clocks start.

    A clock is asked for again when the aggregator or the worker died in it, and then must start
    from the state before it. So the one before stays beside the newest.

    Args:
        snapshots: of the worker; nothing is written while an algorithm keeps nothing.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._states: dict[int, Mine] = {}
        self._damaged: dict[int, str] = {}

    def before(self, clock: int) -> Mine:
        """The state from which a clock starts: the newest of this clock or an earlier one.

        Arrays in it are read-only. Empty where nothing was kept.
        """
        known = [of for of in self._states if of <= clock]
        return self._states[max(known)] if known else {}

    def lost(self, since: int, clock: int, *, always: bool) -> str | None:
        """Why the state from which a clock is to start is not there; None: it is, or none is due.

        A file that is torn because its worker died in the middle of it is no loss: what it was to
        hold had not been sent, so the clock starts from an earlier state.

        Args:
            since: the clock from whose state it is to start.
            clock: that is to be computed.
            always: whether each clock has left a state, also one in which nothing was kept.
        """
        if since == 0 or since in self._states:
            return None
        if any(of > clock for of in self._states):
            return None  # it is said again, and too late to count
        damaged = [of for of in self._damaged if of <= since]
        if damaged:
            return f"{self._damaged[max(damaged)]} is damaged"
        return f"there is no {self._snapshots.named(since)}" if always else None

    async def save(self, clock: int, state: Mine, since: int | None = None) -> None:
        """Make the state from which a clock starts durable; it survives a kill when this returns.

        One that later ones have replaced stays as it is: what comes late must not throw them away.

        Args:
            clock: the clock that starts from it.
            state: arrays, which are copied, and scalars by name.
            since: the clock from whose state it was made; those in between, whose parts were not
                taken, are forgotten. None: the clock before.

        Raises:
            StorageError: the storage refused.
            ValueError: a value does not travel, such as an array of objects.
        """
        check_travels(state)
        if clock < max(self._states, default=-1):
            return
        upto = clock - 1 if since is None else since
        previous = [of for of in self._states if of <= upto]
        states = {of: self._states[of] for of in sorted(previous)[-1:]} | {clock: state}
        arrays = {
            f"{of}/{name}": value
            for of, kept in states.items()
            for name, value in kept.items()
            if isinstance(value, np.ndarray)
        }
        scalars: dict[str, dict[str, Scalar]] = {
            str(of): {n: v for n, v in kept.items() if not isinstance(v, np.ndarray)}
            for of, kept in states.items()
        }
        packed = Weights.of(arrays)
        header = msgspec.msgpack.encode(_Header(scalars, packed.layout))
        await self._snapshots.save(clock, header, [packed.buffer])
        self._damaged = {}
        # Taken from the copy: a view of what came down would hold its landing buffer for ever.
        self._states = _states(scalars, packed)

    async def take_back(self, since: int, clock: int) -> None:
        """Let a clock start from the state of an earlier one: no part since then was taken.

        Nothing is written where no state was left since then.

        Args:
            since: the earlier clock.
            clock: that starts now.

        Raises:
            StorageError: the storage refused.
        """
        if any(since < of <= clock for of in self._states):
            await self.save(clock, self.before(since), since)

    async def restore(self, upto: int | None = None) -> None:
        """Take up the newest states that were saved.

        Args:
            upto: the last clock whose state counts; None for any.
        """
        found = await self._snapshots.latest(upto)
        self._damaged = dict(self._snapshots.damaged)
        if found is not None:
            header = msgspec.msgpack.decode(found.header, type=_Header)
            packed = Weights(header.layout, found.arrays[0])
            # Copied to where a state that was not restored lies: on boundaries of 64 bytes.
            whole = Weights.of({name: packed[name] for name in packed.names()})
            self._states = _states(header.scalars, whole)

    def __repr__(self) -> str:
        return f"<Kept for clocks {sorted(self._states)}>"


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """The scalars of the states by clock, and the layout of their arrays."""

    scalars: dict[str, dict[str, Scalar]]
    layout: tuple[TensorSpec, ...]


def _states(scalars: Mapping[str, Mapping[str, Scalar]], packed: Weights) -> dict[int, Mine]:
    return {
        int(of): {
            **{n.partition("/")[2]: packed[n] for n in packed.names() if n.startswith(f"{of}/")},
            **values,
        }
        for of, values in scalars.items()
    }
