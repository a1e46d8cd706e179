"""Workers that do not compute alike are found, whoever is heard first."""

from __future__ import annotations

import itertools

import msgspec

from actorfl.fingerprint import Fingerprint
from actorfl.numerics import Numerics

ALIKE = Fingerprint("2.0", "1.26", "x86_64", "AVX2", 1, (), "0" * 64)
THREADS = msgspec.structs.replace(ALIKE, threads=2)
OLD = msgspec.structs.replace(ALIKE, capability="DEFAULT")


def test_the_first_of_the_roster_is_the_measure_in_any_order_of_arrival() -> None:
    came = [("w0", ALIKE), ("w1", THREADS), ("w2", ALIKE), ("w3", OLD)]
    for order in itertools.permutations(came):
        numerics = Numerics("w0")
        said = [sentence for who, what in order for sentence in numerics.heard(who, what)]
        assert sorted(said) == sorted(numerics.unpromised.values())
        assert sorted(numerics.unpromised) == ["w1", "w3"]
        assert numerics.unpromised["w1"] == (
            "w1 computes with 2 threads per fit and w0 with 1 thread per fit: set ACTORFL_THREADS "
            "alike everywhere"
        )


def test_each_is_told_once() -> None:
    numerics = Numerics("w0")
    assert numerics.heard("w0", ALIKE) == []
    assert len(numerics.heard("w1", THREADS)) == 1
    assert numerics.heard("w1", THREADS) == []
    assert numerics.heard("w1", ALIKE) == []
    assert list(numerics.unpromised) == ["w1"]


def test_an_earlier_start_of_the_run_is_the_measure_of_a_later_one() -> None:
    first = Numerics("w0")
    first.heard("w0", ALIKE)
    later = Numerics("w0", first.reference, first.unpromised)
    (sentence,) = later.heard("w0", THREADS)
    assert sentence.startswith("w0 computes with 2 threads per fit and w0 before with 1 thread")
    assert later.reference == ALIKE


def test_a_worker_that_never_answers_is_not_compared() -> None:
    numerics = Numerics("w0")
    assert numerics.heard("w1", THREADS) == []
    assert numerics.unpromised == {}
