"""An algorithm that returns something else than it must ends its run at once, by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import BSP, SSP, FedAvg, RunFailed
from actorfl.exitcodes import ExitCode
from actorfl.supervision import Supervision
from actors import Simulated
from tests.faults.runs import carry_out, small


@dataclass(frozen=True)
class Single(FedAvg):
    def up(self, ctx: Any, mine: Any) -> Any:
        return super().up(ctx, mine)[0]


@dataclass(frozen=True)
class Untermed(FedAvg):
    def up(self, ctx: Any, mine: Any) -> Any:
        return {}, {}


@dataclass(frozen=True)
class Forgetful(FedAvg):
    def close(self, state: Any, terms: Any, closed: Any) -> Any:
        super().close(state, terms, closed)


@dataclass(frozen=True)
class Beginner(FedAvg):
    def begin(self, weights: Any) -> Any:
        return weights


@pytest.mark.parametrize("sync", [BSP(), SSP(1)], ids=str)
@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        (Single(), r"^Single\.up returned .*; return Terms\(\.\.\.\) and what the worker keeps, "),
        (Untermed(), r"^Untermed\.up returned \(\{\}, \{\}\); return Terms"),
        (Forgetful(), r"^Forgetful\.close returned None; return a ServerState, such as s\.moved"),
        (Beginner(), r"^Beginner\.begin returned array.*; return a ServerState"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_an_algorithm_must_not_return_ends_the_run_at_once(
    algorithm: FedAvg, sentence: str, sync: BSP | SSP, tmp_path: Path
) -> None:
    # Restarted at all, it would not end before its limit.
    run = small(algorithm=algorithm, sync=sync, supervision=Supervision(intensity=1000))
    on = Simulated(2)
    with pytest.raises(RunFailed, match=sentence) as no:
        actors.run(carry_out(run, tmp_path, on), on=on)
    assert no.value.exit_code is ExitCode.RUN_FAILED
    assert no.value.restarts == 0
    assert str(no.value).endswith("log.txt")
