"""Series that echo-state networks are measured on, generated."""

from __future__ import annotations

from typing import Final

import numpy as np

from actorfl.errors import WrongValue
from actorfl.esn.reservoir import Floats

#: Steps of the integrators within one of the series.
SUB_STEPS: Final = 10
_NARMA_TRIES: Final = 100


def mackey_glass(steps: int, *, tau: int = 17, start: float = 1.2, discard: int = 1000) -> Floats:
    """The Mackey-Glass series, chaotic from tau = 17 on.

        dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    Mackey and Glass, Science 197, 1977; integrated by RK4 in tenths of a step, with the mean of its
    neighbours for a delayed value that lies between two.

    Args:
        steps: of one unit of time, at least 1.
        tau: the delay in steps, at least 1.
        start: the value until time 0, above 0.
        discard: steps to leave out before the first, at least 0.

    Returns:
        Values, about 0.2 to 1.4, shape ``(steps,)``.

    Raises:
        WrongValue: a number is out of range.
    """
    _check(steps=(steps, 1), tau=(tau, 1), discard=(discard, 0))
    if not 0 < start < np.inf:
        raise WrongValue("`start` of mackey_glass", "finite and above 0", start)
    width, delay = 1 / SUB_STEPS, tau * SUB_STEPS
    values = [float(start)] * (delay + 1)
    for _ in range((steps + discard - 1) * SUB_STEPS):
        now, past, after = values[-1], values[-delay - 1], values[-delay]
        between = (past + after) / 2
        one = _mackey_glass(now, past)
        two = _mackey_glass(now + width / 2 * one, between)
        three = _mackey_glass(now + width / 2 * two, between)
        four = _mackey_glass(now + width * three, after)
        values.append(now + width / 6 * (one + 2 * two + 2 * three + four))
    return np.array(values[delay::SUB_STEPS][discard:])


def narma10(steps: int, *, seed: int = 0, discard: int = 200) -> tuple[Floats, Floats]:
    """NARMA-10: what drives it, and its answer.

        y(t+1) = 0.3 y(t) + 0.05 y(t) sum over i < 10 of y(t-i) + 1.5 u(t-9) u(t) + 0.1

    Atiya and Parlos, IEEE Transactions on Neural Networks 11, 2000; u is uniform in [0, 0.5]. Some
    drives make it diverge; they are drawn again.

    Args:
        steps: at least 1.
        seed: of the drive, at least 0.
        discard: steps to leave out before the first, at least 0.

    Returns:
        u and y, each of shape ``(steps,)``; y(t) depends on u up to t - 1.

    Raises:
        WrongValue: a number is out of range, or so long a series always diverges.
    """
    _check(steps=(steps, 1), seed=(seed, 0), discard=(discard, 0))
    draw = np.random.Generator(np.random.PCG64(seed))
    for _ in range(_NARMA_TRIES):
        drive = draw.uniform(0, 0.5, steps + discard)
        answer = np.zeros(steps + discard)
        for t in range(9, steps + discard - 1):
            past = answer[t - 9 : t + 1]
            answer[t + 1] = (
                0.3 * answer[t] + 0.05 * answer[t] * past.sum()
                + 1.5 * drive[t - 9] * drive[t] + 0.1
            )  # fmt: skip
            if answer[t + 1] > 1:
                break
        else:
            return drive[discard:], answer[discard:]
    raise WrongValue("`steps` of narma10", "fewer: the longer, the more drives diverge", steps)


def lorenz(steps: int, *, step: float = 0.02, discard: int = 1000) -> Floats:
    """The Lorenz system with sigma = 10, rho = 28, beta = 8/3, from (1, 1, 1).

        dx/dt = sigma (y - x),   dy/dt = x (rho - z) - y,   dz/dt = x y - beta z

    Lorenz, Journal of the Atmospheric Sciences 20, 1963; integrated by RK4 in tenths of a step.

    Args:
        steps: at least 1.
        step: units of time, above 0, at most 1.
        discard: steps to leave out before the first, at least 0.

    Returns:
        x, y and z, shape ``(steps, 3)``; |x| and |y| below 30, z in 0 to 50.

    Raises:
        WrongValue: a number is out of range.
    """
    _check(steps=(steps, 1), discard=(discard, 0))
    if not 0 < step <= 1:
        raise WrongValue("`step` of lorenz", "above 0, at most 1", step)
    width, now = step / SUB_STEPS, np.ones(3)
    found = np.empty((steps, 3))
    for at in range(steps + discard):
        if at >= discard:
            found[at - discard] = now
        for _ in range(SUB_STEPS):
            one = _lorenz(now)
            two = _lorenz(now + width / 2 * one)
            three = _lorenz(now + width / 2 * two)
            four = _lorenz(now + width * three)
            now = now + width / 6 * (one + 2 * two + 2 * three + four)
    return found


def _mackey_glass(now: float, past: float) -> float:
    return 0.2 * past / (1 + past**10) - 0.1 * now


def _lorenz(now: Floats) -> Floats:
    x, y, z = now
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def _check(**numbers: tuple[int, int]) -> None:
    for name, (value, least) in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise WrongValue(f"`{name}` of the series", f"an int, at least {least}", value)
