"""Accuracy against virtual time under BSP, SSP(3) and ASP, drawn with --out as an SVG file.

The time of a gradient is drawn anew each time, exponentially with a mean of one second, so that in
each clock somebody else is slow. Virtual time costs none: the three runs take seconds.
"""

import argparse
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import actors
from actorfl import ASP, BSP, SSP, Run, Sync
from actors import Simulated

HERE = Path(__file__).parent
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 320, 56, 16, 44
COLOURS = ("#d55e00", "#0072b2", "#009e73")

Curve = list[tuple[float, float]]


def times(seed: int) -> Callable[[str, float | None], float]:
    """Seconds of a job by node: those of the workers are drawn, the others take none."""
    draw = random.Random(seed)

    def seconds(node: str, _size: float | None) -> float:
        return draw.expovariate(1.0) if node.startswith("p") else 0.0

    return seconds


def curve(run: Run, sync: Sync, out: Path) -> Curve:
    """(virtual seconds, accuracy) after each round's worth of gradients."""
    found: Curve = []
    passed = 0.0

    def on_row(row: Mapping[str, Any]) -> None:
        nonlocal passed
        if "round" in row:
            passed += row["seconds"]
            found.append((passed, row["accuracy"]))

    on = Simulated(len(run.topology.names), seed=1, compute=times(1))
    actors.run(replace(run, sync=sync).on(on, out=out, on_row=on_row), on=on)
    return found


def svg(curves: Mapping[str, Curve]) -> str:
    """The picture: a line for each curve, up to where the fastest of them ends."""
    last = min(points[-1][0] for points in curves.values())
    low = math.floor(10 * min(points[0][1] for points in curves.values())) / 10

    def place(seconds: float, accuracy: float) -> str:
        x = LEFT + (WIDTH - LEFT - 96) * seconds / last
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - accuracy) / (1 - low)
        return f"{x:.1f},{y:.1f}"

    def text(at: str, what: str, anchor: str, colour: str = "#444") -> str:
        x, y = at.split(",")
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{what}</text>'

    lines: list[str] = []
    for tenth in range(round(10 * low), 11):
        y = float(place(0, tenth / 10).split(",")[1])
        lines.append(f'<path d="M{LEFT},{y:.1f}H{WIDTH - 96}" stroke="#ddd"/>')
        lines.append(text(f"{LEFT - 6},{y + 4:.1f}", f"{tenth / 10:.1f}", "end"))
    for part in range(5):
        x = place(last * part / 4, low).split(",")[0]
        lines.append(text(f"{x},{HEIGHT - BOTTOM + 18}", f"{last * part / 4:.0f} s", "middle"))
    lines.append(text(f"{LEFT},{HEIGHT - 6}", "accuracy on the test set, by virtual time", "start"))
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(place(*point) for point in points if point[0] <= last)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(text(f"{WIDTH - 88},{TOP + 40 + 20 * number}", name, "start", colour))
    body = "\n".join(lines)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'{head} font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry the three runs out, print a line for each, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clocks", type=positive, default=40, help="of each worker; default 40")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="draw into this file; without it none is drawn"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are left")
    given = parser.parse_args(arguments)
    if given.out is not None and not given.out.parent.is_dir():
        parser.error(f"--out {given.out} lies in no folder; make it first")
    run = Run.from_toml(HERE / "run.toml", [f"until.clocks={given.clocks}"])
    policies = {"BSP": BSP(), "SSP(3)": SSP(3), "ASP": ASP()}
    curves = {name: curve(run, sync, given.runs) for name, sync in policies.items()}
    if given.out is not None:
        given.out.write_text(svg(curves))
    for name, points in curves.items():
        rate = len(run.topology.names) * len(points) / points[-1][0]
        print(f"{name:<8}{rate:.2f} gradients a second, accuracy {points[-1][1]:.4f}")


if __name__ == "__main__":
    main()
