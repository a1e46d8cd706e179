"""What lies between the nodes of a simulated network: how slow each way is, and what is cut."""

from __future__ import annotations

from transports.sim.net import Net, Nets


class Links:
    """Pure: ways between names; a name needs no node.

    Args:
        nets: what the ways are like, unless shaped otherwise.
    """

    def __init__(self, nets: Nets) -> None:
        self._nets = nets
        self._shapes: dict[tuple[str, str], Net] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._groups: dict[str, int] = {}

    def net(self, source: str, target: str) -> Net:
        """What the way from one node to another is like."""
        shaped = self._shapes.get((source, target))
        if shaped is not None:
            return shaped
        return self._nets(source, target) if callable(self._nets) else self._nets

    def shape(self, a: str, b: str, net: Net) -> None:
        """Both ways between two nodes are like this from now on."""
        self._shapes[a, b] = self._shapes[b, a] = net

    def cut(self, a: str, b: str) -> None:
        """Nothing passes between two nodes until ``uncut``."""
        self._cuts[_pair(a, b)] = None

    def uncut(self, a: str, b: str) -> None:
        """Undo ``cut``."""
        self._cuts.pop(_pair(a, b), None)

    def partition(self, groups: tuple[tuple[str, ...] | list[str], ...]) -> None:
        """Nothing passes between two groups; all names not in one are a group of their own.

        Raises:
            ValueError: a name is in two groups.
        """
        sides: dict[str, int] = {}
        for side, group in enumerate(groups, 1):
            for name in group:
                if sides.setdefault(name, side) != side:
                    raise ValueError(
                        f"{name!r} is in two groups: a node is on one side of a partition"
                    )
        self._groups = sides

    def heal(self) -> None:
        """Undo ``partition``."""
        self._groups = {}

    def separated(self, a: str, b: str) -> bool:
        """Whether a cut or a partition lies between two nodes."""
        return _pair(a, b) in self._cuts or self._groups.get(a, 0) != self._groups.get(b, 0)

    def __repr__(self) -> str:
        return f"<Links cuts={len(self._cuts)} partitioned={len(self._groups)}>"


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
