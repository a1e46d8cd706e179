"""What `make demo` runs: training that survives two kills, compared with training left in peace.

Digits, one aggregator and 8 workers over 4 processes plus the aggregator's and the evaluator's
own. A third of the way a worker process is ended by SIGKILL, at two thirds the aggregator's. Then
the same configuration runs undisturbed; both models must be the same, bit for bit.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import actors
from actorfl import Processes, Result, Run, running
from actorfl.saying import row_line

HERE = Path(__file__).parent


async def disturbed(run: Run, on: Processes, out: Path, kills: dict[int, str]) -> Result:
    """Run it, and kill these processes when these rounds are complete."""
    rounds: list[int] = []

    def on_row(row: Mapping[str, Any]) -> None:
        print(row_line(row), flush=True)
        if "round" in row and (victim := kills.get(row["round"])):
            rounds.append(row["round"])
            processes = under_way.live.processes
            assert processes is not None
            print(f"  * SIGKILL to process {victim} (pid {processes.pid(victim)})", flush=True)
            processes.kill(victim)

    async with running(run, on, out=out, on_row=on_row) as under_way:
        result = await under_way.result()
    assert rounds == sorted(kills), f"rounds {rounds} passed, kills were due at {sorted(kills)}"
    return result


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, got {number}")
    return number


def main() -> int:
    """Both runs; 0 only if their models are equal and each kill was followed by one restart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="at least 3; default 20")
    parser.add_argument("--processes", type=positive, default=4, help="worker processes; default 4")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the runs are left")
    arguments = parser.parse_args()
    if arguments.rounds < 3:
        parser.error("--rounds must be at least 3, so that both kills fall within the run")

    run = Run.from_toml(HERE / "run.toml", [f"until.rounds={arguments.rounds}"])
    on = Processes(arguments.processes)
    kills = {arguments.rounds // 3: "p0", 2 * arguments.rounds // 3: "aggregator"}

    print(f"disturbed: {arguments.rounds} rounds over {arguments.processes} worker processes")
    first = actors.run(disturbed(run, on, arguments.out, kills))
    print("\nundisturbed: the same configuration")
    second = actors.run(disturbed(run, on, arguments.out, {}))

    print("\n             accuracy  restarts  SHA-256 of the final model")
    for name, result in (("disturbed", first), ("undisturbed", second)):
        print(f"{name:<13}{result.accuracy:<10.4f}{result.restarts:<10}{result.sha256}")
    same = first.sha256 == second.sha256
    print("\nthe same model, bit for bit" if same else "\nTHE MODELS DIFFER: this is a defect")
    if first.restarts != len(kills) or second.restarts != 0:
        print(f"expected {len(kills)} restarts and 0: this is a defect")
        return 1
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
