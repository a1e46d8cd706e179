"""Seeds: the same everywhere, unrelated between purposes."""

import random
import subprocess
import sys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from actorfl.seeds import seed_everything, seed_for

work = st.tuples(
    st.integers(-(2**70), 2**70), st.text(max_size=8), st.integers(0, 2**40), st.text(max_size=8)
)


def test_a_seed_never_changes_between_versions() -> None:
    assert seed_for(0, "", 0, "init") == 6089129767689475151
    assert seed_for(7, "w3", 12, "fit") == 4400008148934915535


def test_another_process_with_another_hash_seed_gets_the_same_seed() -> None:
    code = "from actorfl.seeds import seed_for; print(seed_for(7, 'wärme', 12, 'fit'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": value},
            capture_output=True,
            check=True,
        ).stdout
        for value in ("1", "2")
    }
    assert seen == {f"{seed_for(7, 'wärme', 12, 'fit')}\n".encode()}


@given(work)
def test_a_seed_fits_into_a_signed_64_bit_integer(what: tuple[int, str, int, str]) -> None:
    assert 0 <= seed_for(*what) < 2**63


@given(work, work)
def test_different_work_has_different_seeds(
    one: tuple[int, str, int, str], other: tuple[int, str, int, str]
) -> None:
    assert (seed_for(*one) == seed_for(*other)) == (one == other)


def test_a_worker_name_cannot_imitate_another_worker_and_clock() -> None:
    assert seed_for(1, 'w", 1, "', 2, "fit") != seed_for(1, "w", 1, '", 2, "fit')


def _draws() -> tuple[float, float, float]:
    numpy = float(np.random.rand())  # noqa: NPY002  (the global generator is meant)
    return random.random(), numpy, float(torch.rand(()))


def test_seeding_repeats_the_draws_of_torch_numpy_and_random() -> None:
    for seed in (0, 5, 2**63 - 1):
        seed_everything(seed)
        first = _draws()
        assert all(a != b for a, b in zip(first, _draws(), strict=True))
        seed_everything(seed)
        assert _draws() == first


def test_the_upper_half_of_a_seed_counts_for_numpy_and_random() -> None:
    seed_everything(1)
    low = _draws()
    seed_everything(1 + (1 << 40))
    assert all(a != b for a, b in zip(low[:2], _draws()[:2], strict=True))


def test_seeding_keeps_nothing() -> None:
    """torch.manual_seed keeps a call and a traceback for each device that is not there."""
    before = len(torch.cuda._queued_calls)
    for seed in range(100):
        seed_everything(seed)
    assert len(torch.cuda._queued_calls) == before
