"""Layers whose output is divided, and of which one part alone meets a nonlinearity.

`value, gate = layer(x).chunk(2, -1)` followed by `value * silu(gate)` is the packed form of a gated unit (Shazeer 2020,
"GLU variants improve transformer"): what two layers would compute is one product of a matrix. The part in front of the
nonlinearity is a pre-activation as that of any other layer, with fewer channels.
"""

from __future__ import annotations

from torch import fx

from n2nsurgery.graph.layers.roles import Role
from n2nsurgery.graph.layers.view import GraphView

_DIVIDING = frozenset(["chunk", "split", "tensor_split"])
_GATES = frozenset(["sigmoid", "Sigmoid", "hardsigmoid", "Hardsigmoid"])  # they scale the other part


def activated_part(view: GraphView, output: fx.Node, axis: int) -> fx.Node | None:
    """The part of a layer's `output`, with channels along `axis`, that a nonlinearity reads.

    None where the channels are not divided, and where several parts are read so.
    """
    users = view.users(output)
    if len(users) != 1 or view.name(users[0]) not in _DIVIDING:
        return None
    parts = [part for part in view.users(users[0]) if view.name(part) == "getitem" and _is_activated(view, part)]
    return parts[0] if len(parts) == 1 and _divides(view, output, parts[0], axis) else None


def _is_activated(view: GraphView, part: fx.Node) -> bool:
    readers = view.users(part)
    return len(readers) == 1 and view.role[readers[0]] is Role.ACTIVATION and view.name(readers[0]) not in _GATES


def _divides(view: GraphView, output: fx.Node, part: fx.Node, axis: int) -> bool:
    """Whether `part` is as `output`, but for the size of `axis`."""
    whole, divided = list(view.shape(output)), list(view.shape(part))
    if len(whole) != len(divided) or divided[axis] >= whole[axis]:
        return False
    divided[axis] = whole[axis]
    return divided == whole
