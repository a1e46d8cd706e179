"""What is measured of a simulated run while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from actorfl.simulate.settings import LOCAL
from actorfl.traffic import Traffic
from actorfl.witness import Act


class Meter:
    """Counts what arrives, by class of link; for ``SimNetwork.metered_by``.

    Args:
        link: class of the link from one node to another.
    """

    def __init__(self, link: Callable[[str, str], str]) -> None:
        self._link = link
        # By pair, since the same few links are asked for millions of times.
        self._pairs: dict[tuple[str, str], Traffic] = {}
        self.links: dict[str, Traffic] = {}

    def __call__(self, source: str, target: str, nbytes: int) -> None:
        """A message arrived."""
        traffic = self._pairs.get((source, target))
        if traffic is None:
            traffic = self.links.setdefault(self._link(source, target), Traffic())
            self._pairs[source, target] = traffic
        traffic.count(nbytes)

    def table(self) -> dict[str, dict[str, int]]:
        """Messages and bytes by class of link; that within nodes comes last."""
        names = sorted(self.links, key=lambda name: (name == LOCAL, name))
        return {
            name: {"messages": self.links[name].messages, "bytes": self.links[name].nbytes}
            for name in names
        }

    def __repr__(self) -> str:
        return f"<Meter {len(self.links)} classes of links, {len(self._pairs)} links>"


class Staleness:
    """How stale the parts were that are in the model; for ``witnessed_by``.

    A part counts once the clock that it was merged into is durable: what an aggregator that died
    had merged is in no model.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._open: dict[int, list[int]] = {}

    def __call__(self, act: Act) -> None:
        """An aggregator did something."""
        if act.kind == "opened":
            self._open[act.by] = []
        elif act.kind == "merged":
            self._open.setdefault(act.by, []).append(act.staleness)
        elif act.kind == "saved":
            self._counts.update(self._open.pop(act.by, ()))

    @property
    def histogram(self) -> dict[int, int]:
        """Parts by their staleness, in versions of the model; from 0 on."""
        return dict(sorted(self._counts.items()))

    def __repr__(self) -> str:
        return f"<Staleness {self.histogram}>"


class Curve:
    """When each version of the model was made, and what it was measured to be."""

    def __init__(self) -> None:
        self.made: dict[int, float] = {}
        self.accuracies: dict[int, float] = {}

    def version(self, fields: Mapping[str, object]) -> None:
        """The aggregator made a version durable: the event ``version`` of the run's log."""
        number, at = fields.get("version"), fields.get("at")
        if isinstance(number, int) and isinstance(at, float):
            # A restarted aggregator may make it again; who waited for it had it from then on.
            self.made[number] = at

    def row(self, row: Mapping[str, object]) -> None:
        """A line of the metrics."""
        # Without a barrier a round makes many versions, and its line names the one it measured.
        number, accuracy = row.get("version", row.get("round")), row.get("accuracy")
        if isinstance(number, int) and isinstance(accuracy, float):
            self.accuracies[number] = accuracy

    def reached(self, target: float) -> float | None:
        """Virtual seconds at which the first version that reaches the target was made."""
        for number, accuracy in sorted(self.accuracies.items()):
            if accuracy >= target:
                return self.made.get(number)
        return None

    def __repr__(self) -> str:
        return f"<Curve of {len(self.made)} versions>"
