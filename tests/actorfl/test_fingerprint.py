from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.errors import MissingExtra
from actorfl.fingerprint import SETTINGS, Fingerprint, differences, measure
from actorfl.lane import TrainingLane

torch = pytest.importorskip("torch")

LIMIT = 100.0
# Four processes that import torch at once, on two cores that others may hold.
pytestmark = pytest.mark.timeout(LIMIT + 20)
NAMES = ("w0", "w1")
ONE = Fingerprint(
    torch="2.13.0+cpu build 0a1b2c3d",
    numpy="2.4.6",
    machine="x86_64",
    capability="AVX512",
    threads=1,
    settings=(),
    probe="a" * 64,
)

CHILD = """
import asyncio, sys
import msgspec
from actorfl.fingerprint import measure
from actorfl.lane import TrainingLane

async def main():
    for threads in map(int, sys.argv[1:]):
        lane = TrainingLane(threads)
        print(msgspec.json.encode(await lane.run(measure, seed=threads)).decode(), flush=True)
        lane.close(30)

asyncio.run(main())
"""

Measured = dict[str, list[Fingerprint]]


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """Fingerprints of processes that all ran at once, and so were each other's busy neighbours."""
    wanted: dict[str, tuple[dict[str, str], list[str]]] = {
        "threads": ({"PYTHONHASHSEED": "0"}, ["1", "2", "3", "1"]),
        "again": ({"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}, ["1", "2"]),
        "no vectors": ({"ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "AVX2"}, ["1"]),
        "old": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, ["1"]),
    }
    # Several threads that spin while they wait would take minutes on busy cores.
    plain = {"OMP_WAIT_POLICY": "passive"} | {
        k: v for k, v in os.environ.items() if k not in SETTINGS and "NUM_THREADS" not in k
    }
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CHILD, *counts], env=plain | env, stdout=subprocess.PIPE
                )
            )
            for name, (env, counts) in wanted.items()
        }
        for child in children.values():
            stack.callback(child.kill)
        yield {
            name: [
                msgspec.json.decode(line, type=Fingerprint)
                for line in child.communicate(timeout=LIMIT)[0].splitlines()
            ]
            for name, child in children.items()
        }


def test_processes_agree_whatever_their_hash_seed_their_load_and_their_shell(
    measured: Measured,
) -> None:
    one, two, _, again = measured["threads"]
    assert one == again
    assert measured["again"] == [one, two]
    assert differences(one, again, NAMES) == []


async def test_an_idle_lane_of_this_process_agrees_with_busy_ones(measured: Measured) -> None:
    lane = TrainingLane()
    mine = await lane.run(measure, seed=77)
    assert lane.close(LIMIT)
    assert mine == measured["threads"][0]


def test_another_count_of_threads_gives_other_bits(measured: Measured) -> None:
    one, two, three, _ = measured["threads"]
    assert [f.threads for f in (one, two, three)] == [1, 2, 3]
    assert len({f.probe for f in (one, two, three)}) == 3
    # The probe's bits are the effect of it, and no difference of their own.
    (sentence,) = differences(one, two, NAMES)
    assert sentence == (
        "w1 computes with 2 threads per fit and w0 with 1 thread per fit: set ACTORFL_THREADS "
        "alike everywhere"
    )


def test_another_capability_gives_other_bits_and_is_named(measured: Measured) -> None:
    one = measured["threads"][0]
    (other,) = measured["no vectors"]
    if one.capability == other.capability:
        pytest.skip("this CPU has no vectors to be switched off")
    assert one.probe != other.probe
    assert differences(one, other, NAMES)[0] == (
        "w1 computes with the CPU capability DEFAULT and w0 with the CPU capability "
        f"{one.capability}: set ATEN_CPU_CAPABILITY to the lesser one everywhere"
    )


def test_kernels_chosen_by_the_environment_are_named(measured: Measured) -> None:
    one = measured["threads"][0]
    for name, variable in (
        ("old", "ONEDNN_MAX_CPU_ISA"),
        ("no vectors", "DNNL_MAX_CPU_ISA"),
    ):
        (other,) = measured[name]
        value = dict(other.settings)[variable]
        assert (
            f"w1 computes with {variable}={value!r} and w0 without {variable}: set this "
            "environment variable alike everywhere"
        ) in differences(one, other, NAMES)


def test_the_probe_reaches_the_kernels_of_onednn(measured: Measured) -> None:
    one = measured["threads"][0]
    if one.machine not in {"x86_64", "AMD64"} or one.capability == "DEFAULT":
        pytest.skip("oneDNN has nothing to be held back from here")
    assert measured["old"][0].probe != one.probe


def test_measuring_leaves_the_generators_and_the_mode_of_gradients_as_they_were() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with torch.no_grad():
        measure()
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_without_torch_the_reader_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'actorfl\[torch\]'"):
        measure()


def test_a_strange_setting_is_written_so_that_it_may_travel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MKL_CBWR", "\x1b[31mé\n" + "x" * 500)
    found = measure()
    text = dict(found.settings)["MKL_CBWR"]
    assert text.startswith(r"\x1b[31m\xe9\nxxx")
    assert len(text) == 200
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Fingerprint) == found


def test_a_difference_in_the_probe_alone_names_what_else_there_is() -> None:
    other = msgspec.structs.replace(ONE, probe="b" * 64)
    (sentence,) = differences(ONE, other, NAMES)
    assert sentence == (
        "w1 computes other bits than w0 (a probe training ends in bbbbbbbbbbbb and aaaaaaaaaaaa): "
        "take one model of CPU, and look for a library that changes how floats are rounded"
    )


texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=3)
fingerprints = st.builds(
    Fingerprint,
    torch=texts,
    numpy=texts,
    machine=texts,
    capability=texts,
    threads=st.integers(1, 3),
    settings=st.dictionaries(st.sampled_from(SETTINGS), texts, max_size=2).map(
        lambda d: tuple(sorted(d.items()))
    ),
    probe=st.sampled_from(["0" * 64, "f" * 64]),
)


@given(fingerprints, fingerprints)
def test_fingerprints_differ_by_no_sentence_exactly_where_they_are_equal(
    a: Fingerprint, b: Fingerprint
) -> None:
    assert (differences(a, b, NAMES) == []) == (a == b)
    assert len(differences(a, b, NAMES)) == len(differences(b, a, NAMES))


@given(fingerprints)
def test_a_fingerprint_comes_back_from_the_wire_as_it_was(a: Fingerprint) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(a), type=Fingerprint) == a


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("torch", "x" * 201),
        ("capability", "AVX2\n"),
        ("machine", "\x1b[2J"),
        ("threads", 0),
        ("settings", tuple(("A", str(i)) for i in range(99))),
        ("probe", "a" * 63),
        ("probe", "g" * 64),
        ("probe", "a" * 64 + "\n"),
    ],
)
def test_what_no_process_of_ours_sends_is_refused(field: str, value: Any) -> None:
    forged = msgspec.structs.replace(ONE, **{field: value})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(forged), type=Fingerprint)
