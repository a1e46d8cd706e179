"""Where the command ``actorfl`` begins: Ctrl-C is one line even while the rest is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line of this process and exit."""
    try:
        from actorfl.cli import command

        command()
    except KeyboardInterrupt:
        # Nothing was started yet, or all that was has ended; a second one finds no traceback.
        sys.stderr.write("actorfl: interrupted\n")
        sys.stderr.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
