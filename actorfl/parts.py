"""Which tensors of a model are learned together, and which stay at their worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

from actorfl.errors import Misfit, UnknownKey, WrongType, WrongValue, nearest
from actorfl.layout import MAX_NAME

Role: TypeAlias = Literal["shared", "local", "mean"]

_ROLES: tuple[Role, ...] = get_args(Role)
# Each pattern is matched with each name; people write a handful.
_MOST_PATTERNS = 1000
_MOST_NAMED = 3


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a model as patterns see it.

    Attributes:
        name: in the ``state_dict``; of tied ones the first.
        names: all its names there; more than one where it is tied.
        layer: name of the module that holds it; empty for the model itself.
        normalises: whether that module is a normalisation layer of torch.
        trained: whether it is a parameter; else a buffer.
    """

    name: str
    names: tuple[str, ...]
    layer: str
    normalises: bool
    trained: bool


@dataclass(frozen=True, init=False)
class Parts:
    """The role of each tensor of a model, by patterns of their names.

    A pattern is a case-sensitive glob such as ``"head.*"``; of those that match a name the first
    decides. When the model is built, before the first round, each pattern must decide something,
    and each tensor be matched.

    - ``"shared"``: merged by the algorithm, which gives running statistics their plain mean.
    - ``"mean"``: merged as running statistics are: averaged exactly, and not touched by what the
      algorithm does on the server (momentum, adaptive steps). Refused for an algorithm that holds
      models instead of adding them (the median, say).
    - ``"local"``: trained like the others and never sent: it stays at its worker, durable, and
      survives kills. Integer buffers, too; elsewhere they take the maximum.

    Args:
        rules: roles by pattern, 1 to 1000 of them.

    Raises:
        WrongType: it is no mapping, or a pattern or role is no string.
        WrongValue: there is no such role, or a pattern is empty or longer than a name can be.
    """

    rules: tuple[tuple[str, Role], ...]

    def __init__(self, rules: Mapping[str, Role]) -> None:
        if not isinstance(rules, Mapping):
            raise WrongType("`parts` of Run", 'roles by pattern, as {"head.*": "local"}', rules)
        if not 1 <= len(rules) <= _MOST_PATTERNS:
            need = f"a table of 1 to {_MOST_PATTERNS} patterns"
            raise WrongValue("`parts` of Run", need, f"{len(rules)} of them")
        for pattern, role in rules.items():
            if not isinstance(pattern, str):
                raise WrongType("a pattern of `parts`", "a string", pattern)
            if not 1 <= len(pattern) <= MAX_NAME:
                need = f"1 to {MAX_NAME} characters long"
                raise WrongValue("a pattern of `parts`", need, pattern[:MAX_NAME])
            if not isinstance(role, str) or role not in _ROLES:
                choices = " or ".join(f'"{one}"' for one in _ROLES)
                near = nearest(role, _ROLES) if isinstance(role, str) else ""
                meant = f"; {near}" if near.startswith("did") else ""
                raise WrongValue.saying(
                    f"the role of `{pattern}` in `parts` must be {choices}, got {role!r}{meant}"
                )
        object.__setattr__(self, "rules", tuple(rules.items()))

    @property
    def table(self) -> dict[str, Role]:
        """Roles by pattern, in order."""
        return dict(self.rules)

    def has(self, role: Role) -> bool:
        """Whether any pattern gives this role."""
        return any(given == role for _, given in self.rules)

    def roles(self, tensors: Sequence[TensorInfo]) -> dict[str, Role]:
        """The role of each tensor of a model, by its name.

        Args:
            tensors: of the model.

        Raises:
            UnknownKey: a pattern matches no tensor; the nearest is named.
            Misfit: no pattern matches a tensor, earlier ones leave nothing to a pattern, or the
                names of a tied tensor have different roles.
        """
        every = [name for tensor in tensors for name in tensor.names]
        for pattern, _ in self.rules:
            if not any(fnmatchcase(name, pattern) for name in every):
                raise UnknownKey(
                    "pattern", pattern, "of `parts`: the model has no such tensor",
                    patterns_of(tensors),
                )  # fmt: skip
        decided = {name: self._first(name) for name in every}
        uncovered = [name for name, rule in decided.items() if rule is None]
        if uncovered:
            raise Misfit(
                f'no pattern of `parts` matches {_listed(uncovered)}; add `"*" = "shared"` last'
            )
        used = {rule[0] for rule in decided.values() if rule is not None}
        for pattern, _ in self.rules:
            if pattern not in used:
                raise Misfit(
                    f"`{pattern}` of `parts` decides nothing, since earlier patterns match all "
                    "that it does; put it before them, or remove it"
                )
        roles: dict[str, Role] = {}
        for tensor in tensors:
            found = {name: rule[1] for name in tensor.names if (rule := decided[name]) is not None}
            if len(set(found.values())) > 1:
                said = " and ".join(f"`{name}` {role}" for name, role in found.items())
                raise Misfit(f"`parts` make {said}, which are one tied tensor; give it one role")
            roles[tensor.name] = found[tensor.name]
        return roles

    def _first(self, name: str) -> tuple[str, Role] | None:
        return next((rule for rule in self.rules if fnmatchcase(name, rule[0])), None)

    def __repr__(self) -> str:
        return f"Parts({self.table!r})"


ALL_SHARED = Parts({"*": "shared"})
"""Nothing is set apart."""


def held_by(
    tensors: Iterable[TensorInfo], belongs: Callable[[str], bool], what: str
) -> tuple[TensorInfo, ...]:
    """The tensors whose names belong to something, which may be none.

    Args:
        tensors: of a model.
        belongs: whether a name does.
        what: to what, for people: "the head of FedRep".

    Raises:
        Misfit: one name of a tied tensor belongs to it and another does not.
    """
    found = []
    for tensor in tensors:
        names = [name for name in tensor.names if belongs(name)]
        if names and len(names) < len(tensor.names):
            raise Misfit(
                f"`{names[0]}` is in {what}, but {_listed(tensor.names)} are one tied tensor, "
                "which is in it whole or not at all; choose other layers, or do not tie them"
            )
        if names:
            found.append(tensor)
    return tuple(found)


def patterns_of(tensors: Iterable[TensorInfo]) -> list[str]:
    """What a pattern may have meant: the tensors, and the layers that hold them."""
    found: dict[str, None] = {}
    for tensor in tensors:
        for name in tensor.names:
            pieces = name.split(".")
            found.update(dict.fromkeys(f"{'.'.join(pieces[:n])}.*" for n in range(1, len(pieces))))
            found[name] = None
    return list(found)


def _listed(names: Sequence[str]) -> str:
    said = ", ".join(f"`{name}`" for name in names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{said} and {more} more" if more > 0 else said
