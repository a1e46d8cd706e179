"""One library at one place: ``python -m benchmarks.libraries NAME PLACE`` prints its rates."""

from __future__ import annotations

import importlib
import json
import sys

import uvloop

if __name__ == "__main__":
    name, place = sys.argv[1:]
    found = importlib.import_module(f"benchmarks.libraries.{name}")
    # On a line of its own, the last one: libraries print.
    print("\n" + json.dumps(uvloop.run(found.RUNS[place]())), flush=True)
