"""Convolutions whose output is laid out anew before its nonlinearity.

Transformers with a depthwise convolution in their MLP (Segformer, PVT v2) take tokens, (N, H W, C), for an image,
(N, C, H, W), and back. What follows works on tokens with channels last; a pre-activation there has the same entries as
the output of the convolution, in another order.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from n2nsurgery.graph.layers.roles import Role, is_tensor
from n2nsurgery.graph.layers.view import GraphView


def channels_moved_last(view: GraphView, output: fx.Node) -> fx.Node | None:
    """What a nonlinearity, or a norm before one, reads of `output`, (N, C, *spatial), as (N, ..., C).

    None where something else comes first, and where samples, channels or positions are mixed or left out.
    """
    chain: list[fx.Node] = []
    current = output
    while len(users := view.users(current)) == 1 and view.role[users[0]] is Role.LAYOUT and is_tensor(users[0]):
        current = users[0]
        chain.append(current)
    after = users[0] if len(users) == 1 else current
    if view.role[after] is Role.NORM and len(users := view.users(after)) == 1:
        after = users[0]
    if not chain or view.role[after] is not Role.ACTIVATION:
        return None
    samples, channels, *spatial = view.shape(output)
    entries = torch.arange(prod((samples, channels, *spatial)))
    moved = entries.reshape(samples, channels, -1).transpose(1, 2)
    try:
        found = _relaid(view, entries.reshape(view.shape(output)), output, chain)
    except (TypeError, ValueError, RuntimeError):  # an argument that is not known
        return None
    if found.shape[:1] != (samples,) or found.shape[-1] != channels:
        return None
    return current if torch.equal(found.reshape(samples, -1, channels), moved) else None


def _relaid(view: GraphView, value: Tensor, output: fx.Node, chain: list[fx.Node]) -> Tensor:
    """`value` in place of `output`, after the operations of `chain`."""
    known: dict[fx.Node, Any] = {output: value}

    def computed(node: fx.Node) -> Any:  # noqa: ANN401 - a tensor or a size
        if node not in known:
            tensor = is_tensor(node) and node not in chain
            known[node] = torch.empty(view.shape(node), device="meta") if tensor else _called(node)
        return known[node]

    def _called(node: fx.Node) -> Any:  # noqa: ANN401
        args, kwargs = fx.map_arg((node.args, node.kwargs), computed)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op != "call_function" or not callable(node.target):
            raise TypeError(node.op)
        return node.target(*args, **kwargs)

    result: Tensor = computed(chain[-1])
    return result
