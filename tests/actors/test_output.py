"""What processes print is seen without being asked for, under their names and within a limit."""

from __future__ import annotations

import asyncio
import io
import os
import sys

import pytest

from actors import Actor, ActorGraph, Message, Process, Processes
from actors.output import LINES, Output
from transports.sim import SimClock, SimLoop


class Say(Message[None]):
    what: str


class Speaker(Actor):
    def say(self, message: Say) -> None:
        print(message.what)  # noqa: T201
        os.write(2, b"and an error\n")


def speaking() -> ActorGraph:
    graph = ActorGraph("speaking")
    with graph.supervisor("root"):
        graph.actor("speaker", Speaker, place=Process("p0"))
    return graph


async def test_what_a_process_prints_is_on_standard_error_under_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with speaking().start(Processes(1)) as live:
        await live["speaker"].ask(Say("hello"), timeout=30)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "p0: hello\np0: and an error\n"


async def test_who_asks_for_the_lines_has_them_alone(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[tuple[str, str]] = []
    async with speaking().start(
        Processes(1), on_line=lambda node, line: lines.append((node, line))
    ) as live:
        await live["speaker"].ask(Say("hello"), timeout=30)
    assert lines == [("p0", "hello"), ("p0", "and an error")]
    assert capsys.readouterr().err == ""


def test_a_flood_of_lines_is_cut_each_second_and_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop = SimLoop()
    try:
        output = Output(SimClock(loop))
        for number in range(LINES + 7):
            output.show("p0", str(number))
        output.show("p1", "is heard")
        loop.run_until_complete(asyncio.sleep(1))
        output.show("p0", "again")
        for _ in range(LINES):
            output.show("p0", "more")
        output.close()
    finally:
        loop.close()
    lines = capsys.readouterr().err.splitlines()
    cut = "more lines within a second are not shown; start(on_line=…) gets all)"
    assert lines[LINES - 1 : LINES + 3] == [
        *(f"p0: {LINES - 1}", "p1: is heard", f"p0: (7 {cut}", "p0: again"),
    ]
    assert lines[-2:] == ["p0: more", f"p0: (1 {cut}"]
    assert len(lines) == 2 * LINES + 3


def test_where_there_is_no_console_or_it_is_closed_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = SimLoop()
    try:
        output = Output(SimClock(loop))
        monkeypatch.setattr(sys, "stderr", None)
        output.show("p0", "nowhere")
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, "stderr", closed)
        output.show("p0", "nowhere")
    finally:
        loop.close()
