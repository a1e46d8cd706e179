"""What is written as TOML is read back as the same values."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import UsageError
from actors.tomlwriter import dumps

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(table=st.dictionaries(text, values, max_size=5))
def test_every_table_survives_being_written_and_read(table: dict[str, object]) -> None:
    read = tomllib.loads(dumps(table))
    assert repr(read) == repr(table)  # also tells 1 from 1.0 and True, and -0.0 from 0.0


def test_not_a_number_survives_too() -> None:
    assert dumps({"x": float("nan")}) == "x = nan\n"


@pytest.mark.parametrize(
    ("value", "where"),
    [({"a": [1, None]}, r"`top\.a\[1\]`"), (object(), "`top`"), ("\ud800", "`top`")],
)
def test_a_value_without_a_form_in_toml_is_refused_with_its_key(value: object, where: str) -> None:
    with pytest.raises(UsageError, match=f"{where} cannot be written in TOML"):
        dumps({"top": value})
