from __future__ import annotations

import random

import pytest

from actorfl.exchange import Asked, Exchange


@pytest.mark.parametrize("nodes", [3, 5, 7])
def test_ten_thousand_exchanges_on_an_odd_ring_finish_and_keep_the_sum(nodes: int) -> None:
    draw = random.Random(nodes)
    names = [f"w{n}" for n in range(nodes)]
    ring = {name: (names[(n + 1) % nodes], names[n - 1]) for n, name in enumerate(names)}
    parts = {name: Exchange(float(2**n)) for n, name in enumerate(names)}
    total = sum(part.model for part in parts.values())
    letters: list[tuple[str, str, int, float | None, bool]] = []
    done = busy = 0
    while done < 10_000:
        free = [n for n, part in parts.items() if not part.engaged]
        if free and (not letters or draw.random() < 0.5):
            name = draw.choice(free)
            to = draw.choice(ring[name])
            asked = parts[name].ask(to)
            letters.append((name, to, asked.number, parts[name].model, True))
            continue
        of, to, number, value, asks = letters.pop(draw.randrange(len(letters)))
        part = parts[to]
        if not asks:
            assert part.answered(of, number, value)
            done += value is not None
        elif part.engaged:
            busy += 1
            letters.append((to, of, number, None, False))
        else:
            assert value is not None
            part.model = (part.model + value) / 2
            letters.append((to, of, number, part.model, False))
        if not letters:  # at rest: nothing is between two nodes
            assert sum(one.model for one in parts.values()) == pytest.approx(total, abs=1e-9)
    assert busy > 1000


def test_an_answer_to_another_question_changes_nothing() -> None:
    part = Exchange(1.0)
    assert part.ask("b") == Asked("b", 1)
    assert not part.answered("b", 2, 5.0)
    assert not part.answered("c", 1, 5.0)
    assert (part.engaged, part.model) == (True, 1.0)
    assert part.answered("b", 1, None)
    assert (part.engaged, part.model) == (False, 1.0)
    assert part.ask("c") == Asked("c", 2)
    with pytest.raises(ValueError, match="not answered yet"):
        part.ask("b")
