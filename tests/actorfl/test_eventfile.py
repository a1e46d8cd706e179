"""The file of a run's events: what of a damaged one can be read, and where the damage is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest

from actorfl.eventfile import Damage, EventFile, records


def written(path: Path, count: int) -> list[bytes]:
    """A file of so many records, and each of them."""
    each = [
        msgpack.packb({"time": float(n), "event": "custom", "n": n, "text": "é" * n})
        for n in range(count)
    ]
    path.write_bytes(b"".join(each))
    return each


def numbers(path: Path) -> list[Any]:
    return [each if isinstance(each, Damage) else each["n"] for each in records(path)]


def test_a_whole_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "events"
    written(path, 5)
    assert numbers(path) == [0, 1, 2, 3, 4]
    path.write_bytes(b"")
    assert numbers(path) == []


@pytest.mark.parametrize("junk", [b"\xc1" * 9, bytes(9), b"\xdb\xff\xff\xff\xff", b"\x81\xa1a\x01"])
def test_what_follows_a_damage_is_read_and_the_damage_is_told(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "events"
    each = written(path, 6)
    begins = [sum(map(len, each[:n])) for n in range(7)]
    data = bytearray(path.read_bytes())
    data[begins[2] : begins[2] + len(junk)] = junk
    path.write_bytes(data)
    assert numbers(path) == [0, 1, Damage(begins[2], begins[3]), 3, 4, 5]
    assert str(Damage(7, 9)) == "is damaged from byte 7 to 9"
    # At the very beginning, and to the very end.
    path.write_bytes(junk + each[1] + junk)
    first, second = Damage(0, len(junk)), Damage(len(junk) + len(each[1]), len(path.read_bytes()))
    found = numbers(path)
    assert found[:2] == [first, 1]
    assert (found[2].first, found[2].end) == (second.first, second.end)


def test_a_record_that_the_file_ends_within_is_torn_and_no_other_damage(tmp_path: Path) -> None:
    path = tmp_path / "events"
    each = written(path, 3)
    whole = len(each[0]) + len(each[1])
    for end in range(whole + 1, whole + len(each[2])):
        path.write_bytes(b"".join(each)[:end])
        assert numbers(path) == [0, 1, Damage(whole, end, torn=True)]
    EventFile(path).close()
    assert numbers(path) == [0, 1], "the next start cuts it off"


def test_a_record_is_found_again_across_the_pieces_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events"
    each = written(path, 4)
    for piece in range(1, 20):
        monkeypatch.setattr("actorfl.eventfile._PIECE", piece)
        path.write_bytes(each[0] + b"\xc1" * 30 + each[1] + each[2])
        assert numbers(path) == [0, Damage(len(each[0]), len(each[0]) + 30), 1, 2]
