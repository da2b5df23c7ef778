"""A graph as plain values, for `torch.save(module)`, processes that are spawned, Ray and copies.

A node of torch.fx refers to its neighbours; pickle would follow them through the whole network and run out of stack.
Here a graph is a flat tuple of records, and an argument that is a node is a `NodeName`. What tracing noted for itself
(values, memory) stays behind. We never unpickle anything ourselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.fx.node import map_aggregate

_META = ("address", "module", "shapes", "mutated")  # what pairs, skips and copies of the module read


@dataclass(frozen=True, kw_only=True)
class NodeName:
    """Stands for the node of this name in the arguments of another."""

    name: str


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """One node: fields as in torch.fx, with nodes among the arguments as `NodeName`."""

    name: str
    op: str
    target: Any
    args: Any
    kwargs: Any
    meta: dict[str, Any]


def stored(graph: fx.Graph) -> tuple[NodeRecord, ...]:
    """The nodes of `graph` in their order."""
    return tuple(_record(node) for node in graph.nodes)


def restored(records: tuple[NodeRecord, ...]) -> fx.Graph:
    """A new graph with the nodes of `records`, under the same names."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}

    def node_of(value: Any) -> Any:  # noqa: ANN401 - an argument
        return nodes[value.name] if isinstance(value, NodeName) else value

    for record in records:
        args, kwargs = map_aggregate(record.args, node_of), map_aggregate(record.kwargs, node_of)
        node = graph.create_node(record.op, record.target, args, kwargs, name=record.name)
        node.meta.update(record.meta)
        nodes[record.name] = node
    return graph


def _record(node: fx.Node) -> NodeRecord:
    meta = {key: node.meta[key] for key in _META if key in node.meta}
    args, kwargs = map_aggregate(node.args, _name_of), map_aggregate(node.kwargs, _name_of)
    return NodeRecord(name=node.name, op=node.op, target=node.target, args=args, kwargs=kwargs, meta=meta)


def _name_of(value: Any) -> Any:  # noqa: ANN401 - an argument
    return NodeName(name=value.name) if isinstance(value, fx.Node) else value
