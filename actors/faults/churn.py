"""Sessions and absences of nodes that come and go, drawn ahead from the seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import SupportsFloat

from actors.faults.kinds import Churn, Kill, key_of
from actors.quantiles import mean_of, quantile
from transports import Rng

SHORTEST = 1e-3
"""Seconds: a session or an absence takes at least this long, so that a table of zeros ends."""

MOST_SESSIONS = 1_000_000
"""Of all nodes by one ``Churn``: each is a timer of the launcher from its start on."""


def departures(churn: Churn, node: str, until: float, rng: Rng) -> Iterator[Kill]:
    """When a node leaves, and for how long, in order of time.

    A session that has begun before ``churn.after`` is in its middle there: what is left of it is
    a part of it drawn uniformly.

    Args:
        churn: how it comes and goes.
        node: its name.
        until: seconds after the start at which the plan ends.
        rng: of the plan; each node and fault has draws of its own.
    """
    rng = rng.derive("churn", key_of(churn), node)
    end = until if churn.before is None else min(churn.before, until)
    mean = _mean(churn.session)
    away = mean * churn.offline / (1.0 - churn.offline)
    at = churn.after + _session(churn.session, rng) * rng.uniform(0.0, 1.0)
    while at < end:
        down = max(SHORTEST, _exponential(away, rng)) if away else 0.0
        # Back by the end, so that a run can end.
        down = min(down, end - at)
        yield Kill(node, at, down)
        at += down + max(SHORTEST, _session(churn.session, rng))


def sessions(churn: Churn, until: float) -> float:
    """About how many sessions each node has in a plan that ends at ``until`` seconds."""
    end = until if churn.before is None else min(churn.before, until)
    mean = max(SHORTEST, _mean(churn.session))
    return max(0.0, end - churn.after) * (1.0 - churn.offline) / mean


def _mean(session: SupportsFloat | tuple[float, ...]) -> float:
    if not isinstance(session, tuple):
        return float(session)
    return mean_of(session)


def _session(session: SupportsFloat | tuple[float, ...], rng: Rng) -> float:
    if not isinstance(session, tuple):
        return _exponential(float(session), rng)
    return quantile(session, rng.uniform(0.0, 1.0))


def _exponential(mean: float, rng: Rng) -> float:
    return -mean * math.log1p(-min(rng.uniform(0.0, 1.0), 1.0 - 1e-12))
