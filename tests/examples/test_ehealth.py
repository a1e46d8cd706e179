"""The example of hospitals that learn together: its data, its run, and what leaves a hospital."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import actors
from actorfl import Every, Rounds, Run
from actors import Simulated, code
from transports.sim.flow import Flow, Message, Signalled

HOME = Path(__file__).parents[2] / "examples" / "ehealth"


def of_the_example(name: str) -> Any:
    return code.load(code.parse(f"ehealth.py:{name}", HOME))


def test_script_and_toml_are_the_same_configuration() -> None:
    assert of_the_example("TOGETHER").hash == Run.from_toml(HOME / "run.toml").hash


def test_hospitals_hold_all_records_in_unequal_shares() -> None:
    sizes = [len(of_the_example("records")(number)[1]) for number in range(8)]
    assert sum(sizes) == 569
    assert sizes == sorted(set(sizes))


def test_the_program_reports_the_worst_hospital(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Callable[[list[str]], None] = of_the_example("main")
    main(["--rounds", "2", "--seeds", "1", "--runs", str(tmp_path)])
    alone, together = capsys.readouterr().out.splitlines()
    found = {}
    for line in (alone, together):
        match = re.fullmatch(r"(\w+) +accuracy ([\d.]+), at the worst hospital ([\d.]+)", line)
        assert match, line
        found[match[1]] = (float(match[2]), float(match[3]))
    assert found.keys() == {"alone", "together"}
    assert all(0.5 < worst < every for every, worst in found.values())


class Wire:
    """What left each node of a simulated network, as bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: dict[str, list[bytes]] = {}
        send, outlet = Flow.send, Flow.outlet

        def listening(flow: Flow, message: Message | None) -> None:  # None ends a connection
            parts = () if message is None else message
            self.sent.setdefault(flow.source.name, []).extend(bytes(part) for part in parts)
            send(flow, message)

        def outlet_listened_to(
            flow: Flow, end: Signalled, otherwise: Callable[[bytes], None]
        ) -> Callable[[bytes], bool]:
            send_whole = outlet(flow, end, otherwise)

            def listening_to_one_part(data: bytes) -> bool:
                self.sent.setdefault(flow.source.name, []).append(data)
                return send_whole(data)

            return listening_to_one_part

        monkeypatch.setattr(Flow, "send", listening)
        monkeypatch.setattr(Flow, "outlet", outlet_listened_to)

    def types(self, node: str) -> Counter[str]:
        """How many messages of each type: a typed message names its class."""
        found = re.findall(rb"[a-z_.]+:[A-Z]\w+", b"\n".join(self.sent[node]))
        return Counter(one.decode() for one in found)


def holds_a_record(sent: bytes, points: NDArray[np.float32]) -> bool:
    """Whether three measurements of one record, one after the other, are among the bytes."""
    return any(
        row[at : at + 3].tobytes() in sent
        for kind in (np.float32, np.float64)
        for row in points.astype(kind)
        for at in range(len(row) - 2)
    )


def test_nothing_but_models_counts_and_metrics_leaves_a_hospital(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    run: Run = replace(of_the_example("TOGETHER"), until=Rounds(2), evaluate=Every(1, at="workers"))
    on = Simulated(8, seed=1)
    actors.run(run.on(on, out=tmp_path), on=on)
    model = 4 * (30 * 16 + 16 + 16 * 2 + 2)  # bytes
    for number in range(8):
        sent = b"".join(wire.sent[f"p{number}"])
        points = of_the_example("records")(number)[0].numpy()
        assert not holds_a_record(sent, points)
        assert holds_a_record(sent + points[-1].tobytes(), points)  # so it would be seen
        found = wire.types(f"p{number}")
        assert found.keys() == {"actorfl.protocol:Ready", "actorfl.protocol:Put"}
        # Two rounds, and the measuring of the final model: two models, and less than another one
        # of all that is said around them.
        assert found["actorfl.protocol:Put"] == 3
        assert 2 * model < len(sent) < 3 * model + 4096, len(sent)
