"""Policies that give way to one another during training, by a rule of the user's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from actorfl.errors import Misfit
from actorfl.sync import ASP, BSP, SSP, Free, Sync
from actorfl.until import Progress


class Switch(Free):
    """Base of rules that say how far workers may be apart, again after each version.

    A subclass is a frozen dataclass with ``choose``, in a file of its own::

        @dataclass(frozen=True)
        class Hurry(Switch):
            calm: int = 10

            def choose(self, progress, metrics):
                return SSP(1) if progress.rounds < self.calm else ASP()

    and stands in a configuration as ``sync = { kind = "hurry.py:Hurry", calm = 20 }``. Each update
    moves the model as under SSP and ASP, whatever was chosen: BSP means here that nobody starts a
    clock before all have completed the one before. Who is ahead when the bound narrows goes on when
    the others have come near.
    """

    @abstractmethod
    def choose(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        """Say what holds from now on; a pure function, asked again where a run is restored.

        Args:
            progress: how far the run has come.
            metrics: of the last version whose line is written, by name; empty before, so use
                ``get``. ``progress.records`` may know of a newer one.

        Returns:
            BSP, SSP or ASP.
        """

    def now(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        """What was chosen.

        Raises:
            Misfit: it is none that can be switched to, or ``choose`` raised: a pure function would
                again, however often the aggregator is restarted.
        """
        try:
            chosen = self.choose(progress, metrics)
        except Exception as error:
            raise Misfit(
                f"{type(self).__name__}.choose raised {type(error).__name__}: {error} (at "
                f"{progress}, {dict(metrics)})"
            ) from error
        if not isinstance(chosen, (BSP, SSP, ASP)):
            raise Misfit(
                f"{type(self).__name__}.choose returned {chosen!r}; what can be switched to are "
                "BSP, SSP and ASP"
            )
        if chosen.inner > 1:
            raise Misfit(
                f"{type(self).__name__}.choose returned {chosen!r}; `rounds` is for aggregators "
                "below a root, so return BSP()"
            )
        return chosen

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Whoever asks is told by what was chosen, see ``now``.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{type(self).__name__} admits by what it chooses")
