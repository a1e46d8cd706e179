"""Commands that have nothing to end in order end when they are told to, whatever they are at."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actorfl.stopping import handlers_kept, interruptible, uninterrupted
from actorfl.until import Rounds
from actors import Inline
from tests.faults.runs import small

PROGRAM = """
import os, signal
from actorfl.stopping import handlers_kept, interruptible, uninterrupted

with interruptible({within}) as stopping:
    stopping.first = lambda: print("told", flush=True)
    for _ in range({signals}):
        os.kill(os.getpid(), signal.SIGTERM)
    while True:
        signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_keyboard_interrupt_and_the_handlers_are_put_back(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(("within", "signals"), [(0.05, 1), (600.0, 2)])
def test_who_takes_too_long_or_is_told_twice_ends_at_once(within: float, signals: int) -> None:
    program = PROGRAM.format(within=within, signals=signals)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        130,
        "told\n",
        "actorfl: interrupted\n",
    )


def test_a_run_of_a_script_leaves_its_signal_handlers(tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    with handlers_kept(*numbers):
        for mine in (signal.SIG_DFL, lambda *_: None):
            signal.signal(signal.SIGTERM, mine)
            expected = [signal.getsignal(number) for number in numbers]
            small(until=Rounds(1)).start(on=Inline(), out=tmp_path)
            assert [signal.getsignal(number) for number in numbers] == expected


def test_what_is_uninterrupted_heeds_no_ctrl_c_and_is_interrupted_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
