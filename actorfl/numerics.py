"""Whether all workers of a run compute alike, and so whether its bits are promised."""

from __future__ import annotations

from actorfl.fingerprint import Fingerprint, differences


class Numerics:
    """Compares each worker's fingerprint with that of the first in the roster.

    Pure: it is told what came and says what is new about it.

    Args:
        first: name of the worker that the others are compared with, so that no order of arrival
            decides who differs.
        reference: its fingerprint, where an earlier start of the run has seen it.
        unpromised: sentences by worker, of earlier starts.

    Attributes:
        first: see above.
        reference: see above; None until the first worker was heard.
        unpromised: what differs, by worker.
    """

    def __init__(
        self,
        first: str,
        reference: Fingerprint | None = None,
        unpromised: dict[str, str] | None = None,
    ) -> None:
        self.first = first
        self.reference = reference
        self.unpromised = dict(unpromised or {})
        self._waiting: dict[str, Fingerprint] = {}

    def heard(self, worker: str, fingerprint: Fingerprint) -> list[str]:
        """A worker told its fingerprint.

        Returns:
            A sentence for each worker that is now known to differ and was not before.
        """
        self._waiting[worker] = fingerprint
        if self.reference is None:
            if worker != self.first:
                return []
            self.reference = fingerprint
        new = []
        for name in sorted(self._waiting):
            # The first itself may compute otherwise than in the start that was its measure.
            first = self.first if name != self.first else f"{name} before"
            found = differences(self.reference, self._waiting[name], (first, name))
            if found and name not in self.unpromised:
                sentence = "; ".join(found)
                self.unpromised[name] = sentence
                new.append(sentence)
        self._waiting.clear()
        return new

    def __repr__(self) -> str:
        known = "known" if self.reference is not None else "unknown"
        return f"<Numerics {self.first} {known} differing={sorted(self.unpromised)}>"
