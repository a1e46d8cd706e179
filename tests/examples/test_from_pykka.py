"""What the page for those who come from pykka says of pykka is so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest


class Plain(pykka.ThreadingActor):
    def __init__(self) -> None:
        super().__init__()
        self.made_in = threading.current_thread()
        self.count = 0
        self.gate = threading.Event()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            self.count += 1
            raise message
        if message == "wait":
            return self.gate.wait(5)
        if message == "self":
            return self.actor_ref.ask("count", timeout=0.1)
        return self.count


@pytest.fixture
def plain() -> Iterator[pykka.ActorRef[Plain]]:
    yield Plain.start()
    pykka.ActorRegistry.stop_all()


def test_an_ask_that_raises_leaves_the_actor_as_it_was_and_a_tell_that_raises_stops_it(
    plain: pykka.ActorRef[Plain],
) -> None:
    with pytest.raises(ValueError, match="as told"):
        plain.ask(ValueError("as told"))
    assert plain.ask("count") == 1
    plain.tell(ValueError("as told"))
    assert plain.actor_stopped.wait(5)


def test_an_exit_in_one_actor_stops_all(plain: pykka.ActorRef[Plain]) -> None:
    other = Plain.start()
    plain.tell(SystemExit(3))
    assert other.actor_stopped.wait(5)


def test_a_constructor_runs_in_the_callers_thread(plain: pykka.ActorRef[Plain]) -> None:
    assert plain.proxy().made_in.get() is threading.current_thread()


def test_a_stop_waits_behind_what_came_before(plain: pykka.ActorRef[Plain]) -> None:
    gate = plain.proxy().gate.get()
    plain.tell("wait")
    last = plain.ask("count", block=False)
    stopped = plain.stop(block=False)
    gate.set()
    assert last.get(timeout=5) == 0
    assert stopped.get(timeout=5)


def test_an_actor_that_asks_itself_waits(plain: pykka.ActorRef[Plain]) -> None:
    with pytest.raises(pykka.Timeout):
        plain.ask("self", timeout=5)


def test_a_thread_of_an_actor_keeps_the_program_from_ending(plain: pykka.ActorRef[Plain]) -> None:
    assert not any(t.daemon for t in threading.enumerate() if t.name.startswith("Plain-"))
