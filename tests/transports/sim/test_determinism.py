"""One seed, one trace: in every process, under every PYTHONHASHSEED."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.transports.sim.scenario import play

ROOT = Path(__file__).parents[3]


def test_the_same_seed_gives_the_same_digest_in_every_process() -> None:
    program = "from tests.transports.sim.scenario import play; print(play(7).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("0", "1", "4711")
    }
    assert digests == {play(7).digest}


def test_every_fault_of_the_scenario_took_effect_and_nothing_was_lost_without_being_counted() -> (
    None
):
    outcome = play(7)
    network = outcome.network
    assert network.cut > 0
    assert network.crashes == network.freezes == network.partitions == 1
    assert network.lost > 0
    assert network.held > 0
    assert network.delayed > 0
    assert network.refused > 0
    assert network.sent == network.delivered + network.lost
    assert outcome.received > 100
    assert outcome.landed > 0


def test_seeds_differ_and_agree_with_themselves() -> None:
    digests = [play(seed).digest for seed in range(3)]
    assert len(set(digests)) == 3
    assert [play(seed).digest for seed in range(3)] == digests
