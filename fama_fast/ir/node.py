"""The intermediate representation: immutable, interned nodes of a directed acyclic graph.

Two structurally equal expressions are the same object, so a common subexpression costs nothing and equality is
identity. A node knows its operator's name, its operands and its static parameters; what the operator means is the
registry's business (`fama_fast.ops`), which this module must not import.

Leaves: `FIELD` (one parameter: the name), `GROUP` (the name), `CONST` (the value; NaN is the missing constant).
"""

from __future__ import annotations

import hashlib
import struct
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Param = int | float | str | bool | None

FIELD = "FIELD"
GROUP = "GROUP"
CONST = "CONST"
LEAVES = frozenset({FIELD, GROUP, CONST})

_LONGEST_REPR = 2000  # characters of an operator's operands

_LOCK = threading.Lock()
_INTERNED: weakref.WeakValueDictionary[tuple[object, ...], Node] = weakref.WeakValueDictionary()


class Node:
    """One operation on operands. Make nodes with `make`, `field`, `group`, `const` or `fama_fast.ops.build`.

    Attributes:
        op: canonical operator name, or FIELD, GROUP, CONST.
        args: operands (series and groups), in the operator's order.
        params: static parameters (windows, numbers, flags), in the operator's order; None is "not given".
        depth: 1 for a leaf.
        key: structural hash as hex, equal in every process: the basis of fingerprints and of commutative order.
    """

    __slots__ = ("__weakref__", "args", "depth", "key", "op", "params")

    op: str
    args: tuple[Node, ...]
    params: tuple[Param, ...]
    depth: int
    key: str

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("nodes are immutable")

    def __repr__(self) -> str:
        """Every operand written out, but `...` for what would be longer than `_LONGEST_REPR`."""
        written: dict[Node, str] = {}
        for node in _operands_first(self):
            if node.op in LEAVES:
                written[node] = f"{node.params[0]}"
                continue
            inside = ", ".join([*(written[a] for a in node.args), *map(repr, node.params)])
            written[node] = f"{node.op}({inside if len(inside) <= _LONGEST_REPR else '...'})"
        return written[self]

    def __copy__(self) -> Node:
        return self

    def __deepcopy__(self, memo: object) -> Node:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # One flat list, so that the depth of an expression is no matter.
        nodes = _operands_first(self)
        place = {node: i for i, node in enumerate(nodes)}
        return _made_again, ([(n.op, tuple([place[a] for a in n.args]), n.params) for n in nodes],)

    @property
    def is_const(self) -> bool:
        return self.op == CONST

    @property
    def value(self) -> float:
        """The number of a CONST node."""
        if self.op != CONST:
            raise TypeError(f"{self.op} is not a constant")
        return float(self.params[0])  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """The name of a FIELD or GROUP node."""
        if self.op not in (FIELD, GROUP):
            raise TypeError(f"{self.op} has no name")
        return str(self.params[0])


def _operands_first(root: Node) -> list[Node]:
    """Each distinct node under `root` once, operands before their users."""
    seen: dict[Node, None] = {}
    stack = [root]
    while stack:
        left = [a for a in stack[-1].args[::-1] if a not in seen]
        if left:
            stack += left
        else:
            seen[stack.pop()] = None
    return list(seen)


def _made_again(nodes: Sequence[tuple[str, tuple[int, ...], tuple[Param, ...]]]) -> Node:
    """What `Node.__reduce__` took apart: operator, places of the operands in the list, and parameters."""
    made: list[Node] = []
    for op, places, params in nodes:
        made.append(make(op, [made[i] for i in places], params))
    return made[-1]


def _param_token(p: Param) -> bytes:
    if isinstance(p, float):
        return b"f" + struct.pack("<d", p)
    return f"{type(p).__name__}:{p}".encode()


def _structural_key(op: str, args: tuple[Node, ...], params: tuple[Param, ...]) -> str:
    h = hashlib.blake2b(digest_size=16)
    h.update(op.encode())
    for p in params:
        token = _param_token(p)
        h.update(struct.pack("<I", len(token)) + token)
    for a in args:
        h.update(b"(" + a.key.encode())
    return h.hexdigest()


def make(op: str, args: Sequence[Node] = (), params: Sequence[Param] = ()) -> Node:
    """The one node with this operator, operands and parameters."""
    args, params = tuple(args), tuple(params)
    # Operands are interned, so their identity stands for their structure; the types keep 1, 1.0 and True apart.
    token = (op, tuple(map(id, args)), tuple([p if type(p) is int else _param_token(p) for p in params]))
    with _LOCK:
        interned = _INTERNED.get(token)
        if interned is not None:
            return interned
        node = object.__new__(Node)
        put = object.__setattr__
        put(node, "op", op)
        put(node, "args", args)
        put(node, "params", params)
        put(node, "depth", 1 + max((a.depth for a in args), default=0))
        put(node, "key", _structural_key(op, args, params))
        _INTERNED[token] = node
        return node


def field(name: str) -> Node:
    """A numeric field of the data, by its upper-case name."""
    return make(FIELD, (), (name.upper(),))


def group(name: str) -> Node:
    """A group field of the data, by its upper-case name."""
    return make(GROUP, (), (name.upper(),))


def const(value: float) -> Node:
    """A constant series. Minus zero is zero; a non-finite value is the missing constant (NaN)."""
    v = float(value) + 0.0
    if v - v != 0.0:
        v = float("nan")
    return make(CONST, (), (v,))
