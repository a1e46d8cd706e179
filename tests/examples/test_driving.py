"""The example of vehicles: where they are, what they merge, its run in a small setting."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actors
from actors import ActorGraph, Custom, Simulated, code

pytestmark = pytest.mark.timeout(240)
HOME = Path(__file__).parents[2] / "examples" / "driving"


def of_the_example(name: str) -> Any:
    return code.load(code.parse(f"driving.py:{name}", HOME))


def test_a_vehicle_is_on_the_street_that_it_drives_on() -> None:
    fleet, roads = of_the_example("town")(400, 1), of_the_example("ROADS")
    streets = of_the_example("streets")
    across = roads.rows * (roads.columns - 1)
    met = set()
    for second in range(0, 32, 8):
        found = streets(fleet, second)
        for street, (east, north) in zip(found, fleet.positions(second) / roads.block, strict=True):
            if street < across:
                row, begin = divmod(int(street), roads.columns - 1)
                assert (north, begin <= east <= begin + 1) == (row, True)
            else:
                column, begin = divmod(int(street) - across, roads.rows - 1)
                assert (east, begin <= north <= begin + 1) == (column, True)
            met.add(int(street))
    assert met == set(range(of_the_example("STREETS")))


def heard(merge: str, *messages: tuple[int, bytes]) -> list[bool]:
    """What a vehicle says of the street after thirty seconds on dry ones, and these messages."""
    vehicle, way, letter = (of_the_example(each) for each in ("Vehicle", "Way", "Heard"))
    told: list[bool] = []

    def on_event(event: Custom) -> None:
        if event.kind == "knows":
            told.append(event.fields["yes"])

    async def main() -> None:
        graph = ActorGraph("one")
        with graph.supervisor("root"):
            graph.actor("w0", vehicle, index=0, count=2, seed=0, way=way(merge), peers={})
        async with graph.start(
            Simulated(1), before=lambda system: system.events.subscribe(Custom, on_event)
        ) as live:
            await asyncio.sleep(30)
            for age, parts in messages:
                live["w0"].tell(letter(age, parts))
                await asyncio.sleep(0.01)

    actors.run(main(), on=Simulated())
    return told


def part(grip: float, second: int, street: int | None = None) -> bytes:
    where = of_the_example("ICY") if street is None else street
    return np.array([(where, second, grip)], of_the_example("PART")).tobytes()


def test_the_newest_weight_of_a_street_holds_however_old_the_model_is() -> None:
    assert heard("newest", (1, part(0.2, 5))) == [False, True]
    assert heard("newest", (1, part(0.2, 5)), (99, part(0.8, 4))) == [False, True]
    assert heard("newest", (1, part(0.2, 5)), (1, part(0.8, 6))) == [False, True, False]


def test_a_mean_by_age_dilutes_what_few_know() -> None:
    assert heard("mean", (5, part(0.2, 5))) == [False]
    assert heard("mean", (99, part(0.2, 5))) == [False, True]


def test_what_is_no_part_of_such_a_model_is_left_alone() -> None:
    bad = [part(0.2, 5)[:-1], part(0.2, 5, street=180) + part(0.2, 5), part(float("nan"), 5)]
    assert heard("newest", *((1, each) for each in bad), (1, part(0.2, 5))) == [False, True]


def test_fleets_drive_and_the_figure_is_drawn(tmp_path: Path) -> None:
    sizes = ["--vehicles", "8", "--seconds", "5", "--seeds", "1"]
    done = subprocess.run(
        [sys.executable, str(HOME / "driving.py"), *sizes, "--out", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HOME.parents[1])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [
        re.fullmatch(
            r"(.+?) +first .+, half .+, at the end (\d\.\d\d); (\d+) messages and ([\d.]+) kB .+",
            line,
        )
        for line in done.stdout.splitlines()
    ]
    found = {line[1]: line for line in lines if line}
    assert list(found) == list(of_the_example("WAYS"))
    sent = {name: (int(line[3]), float(line[4])) for name, line in found.items()}
    whole, tenth, mean, none = sent.values()
    assert whole == mean
    assert none == (0, 0.0)
    # A part has ten bytes: 1.8 kB of all streets, .18 of a tenth.
    assert whole[1] == pytest.approx(1.8 * whole[0], abs=0.95)
    assert tenth[0] == whole[0]
    assert tenth[1] == pytest.approx(whole[1] / 10, abs=0.06)
    assert "<svg" in (tmp_path / "driving.svg").read_text()


@pytest.mark.slow
def test_a_fleet_knows_of_ice_that_few_have_met(tmp_path: Path) -> None:
    outcome, ways = of_the_example("outcome"), of_the_example("WAYS")
    ends = []
    for name in ("newest of each street", "mean of models by age", "nobody talks"):
        storage = tmp_path / name
        storage.mkdir()
        drive = outcome(ways[name], 60, 0, 120, storage)
        ends.append(actors.run(drive, on=Simulated(60)).knowing[-1])
    newest, mean, nobody = ends
    assert newest > 0.9
    assert mean < 0.2
    assert nobody < 0.2
