"""The scenario of a run whose aggregator or workers have a bug."""

from __future__ import annotations

from dataclasses import replace

from actorfl import Rounds, Star, Supervision
from actorfl.chaos.laws import Seen
from actorfl.chaos.scenario import scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.roles import USUAL, Roles
from actors.testing.chaos import Scenario
from tests.faults.runs import small
from tests.faults.tasks import Tally


def short(
    roles: Roles = USUAL,
    *,
    workers: int = 2,
    rounds: int = 3,
) -> Scenario[Seen]:
    """A short run whose workers keep a state.

    Args:
        roles: the classes of its actors.
        workers: as many as the bug takes to show.
        rounds: likewise.
    """
    # Up again soon: what was sent before a restart may still be on its way after it.
    supervision = Supervision(backoff=0.01, backoff_max=0.2)
    run = small(
        topology=Star(workers), algorithm=Tally(), supervision=supervision, until=Rounds(rounds)
    )
    chaos = Chaos(rounds=rounds)
    whole = scenario_of(shortened(run, chaos), chaos, roles)
    return replace(whole, on=replace(whole.on, start=0.05, compute=0.02))
