"""The exact readout without a centre: nodes average their moments with their neighbours'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from actorfl.errors import WrongValue
from actorfl.esn.form import Form
from actorfl.esn.moments import Moments
from actorfl.esn.reservoir import Floats
from actorfl.flatmodel import Model
from actorfl.layout import Vector
from actorfl.nodes import Me, NodeLoop
from actorfl.ranges import check_count, check_number

_ROUNDS_MAX: Final = 1 << 20
_HEARD: Final = 1 / (1 << 16)  # of as many nodes as a topology has


@dataclass(frozen=True)
class ReadoutConsensus(NodeLoop):
    """Average consensus on the moments of all nodes, and a readout that each solves for.

    Bacciu et al. 2021 by gossip; the averaging is that of Xiao and Boyd, "Fast linear iterations
    for distributed averaging", Systems & Control Letters 53, 2004, with weights that a node makes
    from its own and its neighbours' numbers of neighbours (Metropolis and Hastings):

        x_i <- W_ii x_i + sum over neighbours j of W_ij x_j,   W_ij = 1 / (1 + max(d_i, d_j))

    Values are float64 at the nodes and rounded to 2^-60 in letters. What is left of the differences
    shrinks by the graph's sigma each round (``RingGraph(8)``: .805), so that the rounds decide how
    near each readout is to that of all data; afterwards all nodes agree to that. How many nodes
    there are they find out by the same averaging: the first begins with 1, all others with 0.

    With ``share="readout"`` nodes average the readouts that they solve for by themselves, for
    comparison, as ``AveragedReadout`` does; then they all weigh the same.

    Attributes:
        rounds: of averaging, 1 to 2^20.
        penalty: of all nodes together (of each where readouts are shared); above 0.
        share: what is averaged, "moments" or "readout".
        timeout: seconds that a node waits for a letter or for room to send one, above 0.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    rounds: int = 100
    penalty: float = 1e-6
    share: Literal["moments", "readout"] = "moments"
    timeout: float = 300.0

    def __post_init__(self) -> None:
        check_count(self, "rounds", 1, _ROUNDS_MAX)
        check_number(self, "penalty", "above 0", lambda value: value > 0)
        check_number(self, "timeout", "above 0", lambda value: value > 0)
        if self.share not in {"moments", "readout"}:
            raise WrongValue("`share` of ReadoutConsensus", '"moments" or "readout"', self.share)

    async def run(self, me: Me) -> None:
        """Average, then solve."""
        form = Form.of(me.layout, type(self).__name__)
        for round_ in me.rounds(self.rounds):
            own = me.state.get("values")
            if not isinstance(own, np.ndarray):
                own = self._begin(form, await me.fit(), first=me.index == 0)
            letter = Model(me.layout, form.letter(own, len(me.neighbours)), {})
            for neighbour in me.neighbours:
                await me.send(neighbour, letter, tag=round_, timeout=self.timeout)
            theirs: list[Vector] = []
            for neighbour in me.neighbours:
                got = await me.receive(tag=round_, sender=neighbour, timeout=self.timeout)
                theirs.append(got.weights.vector)
            mean = averaged(form, own, theirs)
            me.state["values"] = mean
            if round_ == self.rounds - 1:
                me.weights = self._ended(form, me.weights, mean)
            await me.save()

    def _begin(self, form: Form, fitted: Model, *, first: bool) -> Floats:
        moments = form.moments(fitted.vector)
        if self.share == "readout":
            return moments.solved(self.penalty).ravel()
        return replace(moments, nodes=float(first)).vector()

    def _ended(self, form: Form, model: Model, values: Floats) -> Model:
        if self.share == "readout":
            readout = values.reshape(form.features, form.outputs)
        else:
            mean = Moments.from_vector(values, form.features, form.outputs)
            # (sum + penalty I)^-1 sum, both divided by the number of nodes; 1 / nodes is the mean
            # of one 1 and else zeros, of which a node may have heard nothing in too few rounds.
            readout = mean.solved(self.penalty * max(mean.nodes, _HEARD))
        return Model(model.layout, form.of_readout(readout), {})


def averaged(form: Form, own: Floats, theirs: Sequence[Vector]) -> Floats:
    """One round of a node: its own values and its neighbours', by Metropolis and Hastings.

    Args:
        form: of the letters.
        own: the node's values, shape ``(n,)``.
        theirs: the letter of each neighbour; all of them are used, in this order.
    """
    mean, left = np.zeros_like(own), 1.0
    for letter in theirs:
        weight = 1 / (1 + max(len(theirs), form.neighbours(letter)))
        mean += weight * form.values(letter)[: own.size]
        left -= weight
    return np.asarray(mean + left * own)
