"""Fault schedules drawn from seeds, played in simulated time against what must always hold.

See docs/chaos.md.
"""

from actors.testing.chaos.explore import explore, replay
from actors.testing.chaos.generator import KINDS, generate
from actors.testing.chaos.report import Failed, Played, Report
from actors.testing.chaos.scenario import ALWAYS, Evidence, Invariant, Scenario
from actors.testing.chaos.shrinking import shrink

__all__ = [
    "ALWAYS",
    "KINDS",
    "Evidence",
    "Failed",
    "Invariant",
    "Played",
    "Report",
    "Scenario",
    "explore",
    "generate",
    "replay",
    "shrink",
]
