"""Eight workers below four aggregators below one end with the model of a star, bit for bit.

python hierarchy.py [ROUNDS]
"""

import sys
from dataclasses import replace

from actorfl import SGD, FedAvg, Inline, Processes, Rounds, Run, Star, Tree

tree = Run(
    "digits",
    Tree(root=1, edge=4, worker=8),
    FedAvg(),
    local=SGD(lr=0.1, batch=10, epochs=5),
    until=Rounds(20),
    name="hierarchy",
)
star = replace(tree, topology=Star(8), name="star")

if __name__ == "__main__":
    until = Rounds(int(sys.argv[1])) if sys.argv[1:] else tree.until
    one = replace(tree, until=until).start(on=Processes(2))
    other = replace(star, until=until).start(on=Inline())
    print(f"tree  accuracy {one.accuracy:.3f}  model {one.sha256[:12]}")
    print(f"star  accuracy {other.accuracy:.3f}  model {other.sha256[:12]}")
    assert one.sha256 == other.sha256
