"""The pure state machine of a supervisor: who goes down and comes up, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, GaveUp, UsageError, one_for_all, one_for_one, rest_for_one
from actors.family import Effect, End, Escalate, Family, Halt, Make, Renew, Stage, Wait
from actors.signals import Failure, kinds_of
from actors.supervision import RestartType, Strategy

KINDS = {"one_for_one": one_for_one, "one_for_all": one_for_all, "rest_for_one": rest_for_one}


def failure(error: type[BaseException] = ValueError) -> Failure:
    return Failure(error.__name__, "as told", kinds=kinds_of(error))


@dataclass
class World:
    """Carries out what the family wants, at once or when told, and keeps the story."""

    strategy: Strategy
    types: list[RestartType]
    now: float = 0.0
    story: list[str] = field(default_factory=list)
    owed: list[Effect] = field(default_factory=list)
    given_up: Escalate | None = None

    def __post_init__(self) -> None:
        self.family = Family(self.strategy, lambda: self.now, lambda: 0.0)
        self.take(self.family.add([(n, f"c{n}", t) for n, t in enumerate(self.types, start=1)]))
        self.settle()

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Escalate):
                self.given_up = effect
            else:
                self.owed.append(effect)
                name = "" if isinstance(effect, Wait) else str(effect.child)
                self.story.append(f"{type(effect).__name__.lower()} {name}".strip())

    def step(self, index: int = 0) -> None:
        """Let one thing that was ordered come true."""
        effect = self.owed.pop(index % len(self.owed))
        match effect:
            case Make(uid) | Renew(uid):
                self.take(self.family.started(uid)[1])
            case Halt(uid):
                self.take(self.family.halted(uid))
            case End(uid):
                self.take(self.family.stopped(uid, "stopped", "stopped"))
            case Wait(number, delay):
                self.now += delay
                self.take(self.family.due(number))

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def settle(self) -> None:
        while self.owed:
            self.step()

    def fail(
        self, uid: int, error: type[BaseException] = ValueError, *, gone: bool = False
    ) -> None:
        self.take(self.family.failed(uid, failure(error), gone=gone))

    def told(self) -> list[str]:
        story, self.story = self.story, []
        return story


def world(kind: str = "one_for_one", *types: RestartType, **options: object) -> World:
    options.setdefault("backoff", Backoff(0.0))
    made = World(KINDS[kind](5, **options), list(types or ("permanent",) * 3))  # type: ignore[arg-type]
    made.told()
    return made


@pytest.mark.parametrize(
    ("kind", "story"),
    [
        ("one_for_one", ["halt 2", "renew 2"]),
        ("one_for_all", ["halt 3", "halt 2", "halt 1", "renew 1", "renew 2", "renew 3"]),
        ("rest_for_one", ["halt 3", "halt 2", "renew 2", "renew 3"]),
    ],
)
def test_a_strategy_says_who_goes_down_in_reverse_order_and_comes_up_in_order(
    kind: str, story: list[str]
) -> None:
    w = world(kind)
    w.fail(2)
    w.settle()
    assert w.told() == story
    assert w.family.settled


def test_what_died_with_its_process_is_made_anew_and_not_halted() -> None:
    w = world("one_for_all")
    w.fail(2, gone=True)
    w.settle()
    assert w.told() == ["halt 3", "halt 1", "renew 1", "make 2", "renew 3"]


def test_children_that_died_in_one_process_come_back_in_one_round_at_the_cost_of_one() -> None:
    w = world("rest_for_one")
    for uid in (1, 2, 3):
        w.fail(uid, gone=True)
    w.settle()
    assert w.told() == ["halt 3", "make 1", "make 2", "make 3"]
    assert [w.family.restarts(uid) for uid in (1, 2, 3)] == [1, 1, 1]


def test_the_back_off_begins_when_the_child_fails_and_starts_wait_for_its_end() -> None:
    w = world("one_for_all", backoff=Backoff(8.0, jitter=0, maximum=8))
    w.fail(3)
    w.now += 3  # that is how long it takes to halt them
    w.steps(3)
    assert w.owed == [Wait(w.owed[0].round, 5.0)]  # type: ignore[union-attr]
    w.settle()
    assert w.told()[-3:] == ["renew 1", "renew 2", "renew 3"]


def test_a_second_failure_on_the_way_up_takes_all_down_again() -> None:
    w = world("rest_for_one")
    w.fail(2)
    w.steps(2)  # both are down
    w.step()  # 2 is up, 3 is starting
    w.owed.clear()
    w.fail(3)
    w.settle()
    assert w.told() == ["halt 3", "halt 2", "renew 2", "renew 3"] * 2


def test_a_failure_above_widens_the_round_that_is_under_way() -> None:
    w = world("rest_for_one")
    w.fail(3)
    w.fail(1)
    w.settle()
    assert w.told()[-3:] == ["renew 1", "renew 2", "renew 3"]
    assert all(w.family.stage(uid) is Stage.UP for uid in w.family)


@pytest.mark.parametrize("kind", KINDS)
def test_a_temporary_child_is_never_restarted_not_even_with_its_siblings(kind: str) -> None:
    w = world(kind, "permanent", "temporary", "permanent")
    w.fail(1)
    w.settle()
    left = [1, 2, 3] if kind == "one_for_one" else [1, 3]
    assert list(w.family) == left
    w = world(kind, "permanent", "temporary", "permanent")
    w.fail(2)
    w.settle()
    assert w.told() == ["end 2"]
    assert list(w.family) == [1, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_by_itself_restarts_the_permanent_and_no_others(kind: str) -> None:
    w = world(kind, "permanent", "transient", "temporary")
    for uid in (2, 3):
        w.take(w.family.stopped(uid, "stopped", "stopped"))
    assert not w.told()
    assert list(w.family) == [1]
    w.take(w.family.stopped(1, "stopped", "stopped"))
    w.settle()
    assert w.told() == ["make 1"]


def test_the_nearest_class_decides_and_what_is_not_named_is_restarted() -> None:
    decide = {LookupError: "stop", KeyError: "restart", OSError: "escalate"}
    for error, story in ((IndexError, ["end 1"]), (KeyError, ["halt 1", "renew 1"])):
        w = world("one_for_one", "permanent", decide=decide)
        w.fail(1, error)
        w.settle()
        assert w.told() == story
    w = world("one_for_one", "permanent", decide=decide)
    w.fail(1, ConnectionError)
    assert w.given_up == Escalate(1, failure(ConnectionError), 0, beyond_help=True)


def test_a_supervisor_below_that_gave_up_is_passed_on_unless_the_decider_restarts_it() -> None:
    w = world()
    w.fail(1, GaveUp)
    assert w.given_up is not None
    w = world(decide={GaveUp: "restart"})
    w.fail(1, GaveUp)
    w.settle()
    assert w.told() == ["halt 1", "renew 1"]


def test_a_child_that_is_terminated_on_its_way_up_does_not_hold_up_the_rest() -> None:
    w = world("one_for_all")
    w.fail(1)
    w.steps(3)
    assert w.family.stage(1) is Stage.STARTING
    w.take(w.family.terminate(2))
    w.settle()
    assert list(w.family) == [1, 3]
    assert w.family.settled


def test_children_that_are_added_in_the_middle_of_a_round_come_up_behind_the_others() -> None:
    w = world("one_for_all")
    w.fail(3)
    w.take(w.family.add([(4, "c4", "permanent")]))
    w.settle()
    assert w.told()[-2:] == ["renew 3", "make 4"]


def test_what_a_decider_cannot_mean_is_refused() -> None:
    with pytest.raises(UsageError, match="says neither"):
        one_for_one(decide={ValueError: "retry"})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="does not name an exception"):
        one_for_one(decide={"ValueError": "stop"})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="no strategy"):
        Strategy("all_for_one")  # type: ignore[arg-type]


events = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 9)),
        st.tuples(st.sampled_from(["fail", "die", "stop", "terminate", "add"]), st.integers(1, 9)),
    ),
    max_size=60,
)


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.sampled_from(["permanent", "transient", "temporary"]), min_size=1, max_size=5),
    events,
    st.floats(0, 4),
)
def test_whatever_happens_all_that_are_left_are_up_in_the_end(
    kind: str, types: list[RestartType], events: list[tuple[str, int]], wait: float
) -> None:
    strategy = KINDS[kind](10_000, per=1e9, backoff=Backoff(wait, maximum=wait, jitter=0))
    w = World(strategy, types)
    added = 0
    lives = {Stage.STARTING, Stage.UP}
    for what, n in events:
        if what == "step":
            if w.owed:
                w.step(n)
            continue
        if what == "add":
            added += 1
            w.take(w.family.add([(100 + added, "more", "permanent")]))
            continue
        uids = list(w.family)
        if not uids:
            continue
        uid = uids[n % len(uids)]
        stage = w.family.stage(uid)
        if what == "terminate" and stage is not Stage.ENDING:
            w.take(w.family.terminate(uid))
        elif what == "fail" and stage in lives:
            w.owed = [e for e in w.owed if e not in (Make(uid), Renew(uid))]
            w.fail(uid)
        elif what == "die" and stage is not Stage.DOWN:
            w.owed = [e for e in w.owed if getattr(e, "child", None) != uid]
            w.fail(uid, gone=True)
        elif what == "stop" and stage in lives:
            w.owed = [e for e in w.owed if getattr(e, "child", None) != uid]
            w.take(w.family.stopped(uid, "stopped", "stopped"))
    w.settle()
    assert w.given_up is None
    assert w.family.settled
    assert all(w.family.stage(uid) is Stage.UP for uid in w.family)
