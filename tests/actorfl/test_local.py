"""Settings of the local loop: what is refused, what means the same, how many steps it makes."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.errors import WrongType, WrongValue
from actorfl.local import SGD


def test_one_epoch_is_the_default() -> None:
    assert SGD(0.1) == SGD(0.1, epochs=1)


def test_all_and_no_batch_are_the_same_settings() -> None:
    assert SGD(0.1, batch="all") == SGD(0.1)
    assert hash(SGD(0.1, batch="all")) == hash(SGD(0.1))


def test_a_whole_number_is_the_same_rate_as_its_float() -> None:
    assert repr(SGD(1, clip=2)) == repr(SGD(1.0, clip=2.0))


def test_epochs_and_steps_together_are_refused() -> None:
    with pytest.raises(WrongValue, match="epochs=2 and steps=3"):
        SGD(0.1, epochs=2, steps=3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", 0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("batch", 0),
        ("epochs", 0),
        ("steps", -3),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-9),
        ("weight_decay", math.inf),
        ("clip", 0.0),
        ("clip", math.nan),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    settings: dict[str, Any] = {"lr": 0.1, field: value}
    with pytest.raises(WrongValue, match=f"`{field}` of SGD"):
        SGD(**settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", "0.1"), ("lr", True), ("batch", 2.0), ("batch", "some"), ("epochs", True)],
)
def test_a_value_of_another_type_is_refused_by_name(field: str, value: object) -> None:
    settings: dict[str, Any] = {"lr": 0.1, field: value}
    with pytest.raises(WrongType, match=f"`{field}` of SGD"):
        SGD(**settings)


@given(
    examples=st.integers(0, 500),
    batch=st.none() | st.integers(1, 600),
    epochs=st.integers(1, 5),
)
def test_steps_of_epochs_count_the_last_partial_batch(
    examples: int, batch: int | None, epochs: int
) -> None:
    local = SGD(0.1, batch=batch, epochs=epochs)
    cuts = len(range(0, examples, batch or max(examples, 1)))
    assert local.steps_of(examples) == epochs * cuts


def test_steps_are_taken_as_given_but_none_without_data() -> None:
    assert SGD(0.1, batch=10, steps=7).steps_of(25) == 7
    assert SGD(0.1, batch=10, steps=7).steps_of(0) == 0


def test_settings_do_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, actorfl.local, actorfl.task, actorfl.partition, actorfl.seeds, actorfl.lane;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("local", "through"),
    [
        (SGD(0.1, batch=10, epochs=3), 75),
        (SGD(0.1, batch=10, steps=2), 20),
        (SGD(0.1, batch=10, steps=3), 25),  # the last batch of an epoch holds what is left
        (SGD(0.1, batch=10, steps=7), 60),
        (SGD(0.1, steps=2), 50),
    ],
)
def test_a_fit_goes_through_its_examples_as_often_as_its_steps_say(
    local: SGD, through: int
) -> None:
    assert local.examples_of(25) == through
    assert local.examples_of(0) == 0
