"""A process that plays what it is told; see ``actors.testing.chaos.worker``."""

import sys

from actors.testing.chaos.worker import main

if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
