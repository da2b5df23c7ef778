"""GraphView: one traced graph with the questions that finding layers asks of it, answered once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from torch import fx, nn

from n2nsurgery.graph.layers.layer_graph import ChannelLayout, Operator, Signal
from n2nsurgery.graph.layers.roles import Role, is_tensor, name_of, operator_of, role_of
from n2nsurgery.graph.tracing.batch import BATCH_SIZES

_RESHAPES = frozenset(["view", "reshape", "flatten"])
_ROW_BY_ROW = frozenset([Role.WEIGHTED, Role.ACTIVATION, Role.NORM, Role.PASS, Role.ADD, Role.MUL])


class GraphView:
    """Order, roles, data users and ancestors of the nodes of `graph`, whose modules hang below `root`."""

    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        self.graph = graph
        self.root = root
        self.nodes = tuple(graph.nodes)
        self.position = {node: index for index, node in enumerate(self.nodes)}
        self.role = {node: role_of(node, root) for node in self.nodes}

    @cached_property
    def by_address(self) -> dict[str, fx.Node]:
        """Nodes by their address."""
        return {node.meta["address"]: node for node in self.nodes if "address" in node.meta}

    @cached_property
    def weighted(self) -> tuple[fx.Node, ...]:
        """Calls of weighted layers in execution order."""
        return tuple(node for node in self.nodes if self.role[node] is Role.WEIGHTED and is_tensor(node))

    @cached_property
    def weighted_bits(self) -> int:
        """The calls of weighted layers, as a bit set."""
        return self.bits(self.weighted)

    @cached_property
    def ancestors(self) -> dict[fx.Node, int]:
        """For every node the set of nodes that its value depends on, as a bit set over positions."""
        sets: dict[fx.Node, int] = {}
        for node in self.nodes:
            bits = 0
            for source in node.all_input_nodes:
                bits |= sets[source] | (1 << self.position[source])
            sets[node] = bits
        return sets

    @cached_property
    def live(self) -> int:
        """The nodes that the output depends on, as a bit set."""
        return self.ancestors[self.nodes[-1]]

    @cached_property
    def inputs(self) -> int:
        """The placeholders, as a bit set."""
        return self.bits(node for node in self.nodes if node.op == "placeholder")

    def bits(self, nodes: Iterable[fx.Node]) -> int:
        """A bit set over positions."""
        return sum(1 << self.position[node] for node in nodes)

    def contains(self, bits: int, node: fx.Node) -> bool:
        """Whether `node` is in the bit set."""
        return bool(bits >> self.position[node] & 1)

    def users(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that use the node's data (not merely its shape)."""
        return [user for user in node.users if self.role[user] is not Role.META]

    def name(self, node: fx.Node) -> str:
        """Class, function or method name of a node."""
        return name_of(node, self.root)

    def operator(self, node: fx.Node) -> Operator | None:
        """The operator of a weighted node."""
        return operator_of(node, self.root)

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The node's shape at the first traced batch size."""
        return tuple(node.meta["shapes"][0])

    def signal(self, node: fx.Node, layout: ChannelLayout) -> Signal | None:
        """The node's value for one sample.

        None where the first dimension is neither the batch nor the batch with positions behind it, sample by sample.
        """
        first, second = node.meta["shapes"]
        if len(first) < 2 or first[1:] != second[1:]:  # noqa: PLR2004 - a batch and one dimension of it
            return None
        rows = first[0] // BATCH_SIZES[0]
        if (first[0], second[0]) != tuple(rows * size for size in BATCH_SIZES):
            return None
        if rows != 1 and node not in self._by_sample:
            return None
        return Signal(address=node.meta["address"], shape=tuple(first[1:]), layout=layout, rows=rows)

    @cached_property
    def _by_sample(self) -> frozenset[fx.Node]:
        """Nodes whose first dimension holds what belongs to the first sample, then that of the second, ...

        So it is behind a reshape of a value with the batch first, and behind operations that leave that dimension.
        """
        found: set[fx.Node] = set()
        for node in filter(is_tensor, self.nodes):
            sources = [source for source in node.all_input_nodes if is_tensor(source) and source.op != "get_attr"]
            reshaped = self.name(node) in _RESHAPES
            kept = sources[:1] if reshaped else sources if self.role[node] in _ROW_BY_ROW else []
            if kept and all(each in found or (reshaped and _has_batch_first(each)) for each in kept):
                found.add(node)
        return frozenset(found)


def _has_batch_first(node: fx.Node) -> bool:
    return tuple(shape[:1] for shape in node.meta["shapes"]) == tuple((size,) for size in BATCH_SIZES)
