"""ChannelGraph: a network as a weighted graph of its channels, the value that every measure of connectivity reads.

Nodes are the channels of the input and the output channels (neurons) of every weighted layer. An edge runs from an
input channel j of a layer to its output channel i where the layer keeps a weight between them; its conductance
W[i, j] >= 0 condenses the weights behind it (the sum of their absolute values over the kernel, say). A residual sum
makes identity edges of conductance 1. (N2NSkip paper, section 3.2, Eq. 3.)

Edges lie in blocks, one for each call of a layer, in the order in which the network computes them. A dense layer
stays one matrix, a pruned one may be a sparse one: nothing here ever needs the graph as one n x n matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.channels.flow import NodeGroup

Matrix = Any
"""A numpy array, or a scipy.sparse csr_array of the same meaning (scipy ships without types)."""

Nodes = NDArray[np.int64]

SPARSE_BELOW = 0.25
"""Share of connected channel pairs below which a layer is multiplied as a sparse matrix: 12 bytes for an edge, and
slower ones, against 8 for a pair."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Input channels of a layer that each stand for several nodes: one weight is then behind several edges.

    `kept`: how many weights the layer keeps between them and its targets, (out, features). `nodes`: which of the
    block's sources each stands for, (features, in), 1 where it does. Both are csr_arrays of integers.
    """

    kept: Matrix
    nodes: Matrix

    def read(self, reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of them read any of the sources `reached`; (in,) -> (features,)."""
        return np.asarray(self.nodes @ reached.astype(np.int64) > 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """The edges of one layer call, as matrices with one row for each target and one column for each source.

    `weights`: conductances, (out, in), non-negative floats, 0 where there is no edge. `kept`: how many weights of the
    layer stand behind each edge, (out, in), integers; an edge exists where it is not 0, be its conductance 0 or not.
    `size`: weights of the layer when dense; 0 for edges that hold no weight of the network (identity edges). `sources`
    and `targets` are node numbers, each at most once. `features`: None where each input channel is one node.

    Both matrices are numpy arrays, or both csr_arrays. Raises UsageError where they do not belong together.
    """

    name: str
    sources: Nodes
    targets: Nodes
    weights: Matrix
    kept: Matrix
    size: int
    features: Features | None = None

    def __post_init__(self) -> None:
        """Check the shapes and the signs."""
        shape = (len(self.targets), len(self.sources))
        for what, matrix in (("weights", self.weights), ("kept", self.kept)):
            if tuple(matrix.shape) != shape:
                raise UsageError(f"layer '{self.name}': '{what}' has shape {tuple(matrix.shape)}, nodes need {shape}")
        if sp.issparse(self.weights) != sp.issparse(self.kept):
            raise UsageError(f"layer '{self.name}': 'weights' and 'kept' must both be arrays, or both csr_arrays")
        require_conductances(f"layer '{self.name}'", self.weights)

    @cached_property
    def mask(self) -> Matrix:
        """Where there is an edge: a boolean matrix of the kind of `kept`."""
        return self.kept > 0

    @cached_property
    def edges(self) -> int:
        """Number of edges (connected pairs of channels)."""
        return int(self.kept.count_nonzero() if sp.issparse(self.kept) else np.count_nonzero(self.kept))

    @cached_property
    def kept_weights(self) -> int:
        """Number of kept weights of the layer; 0 for identity edges."""
        return int(self.kept_by_feature.sum(dtype=np.int64)) if self.size else 0

    @property
    def kept_by_feature(self) -> Matrix:
        """How many weights the layer keeps between its input channels and its targets; each weight is in one place."""
        return self.kept if self.features is None else self.features.kept

    def weights_between(self, sources: NDArray[np.bool_], targets: NDArray[np.bool_]) -> int:
        """Number of kept weights from any of these sources, (in,), to these targets, (out,); 0 for identity edges."""
        if not self.size:
            return 0
        read = sources if self.features is None else self.features.read(sources)
        return int((self.kept_by_feature @ read.astype(np.int64)) @ targets)

    def forwards(self, reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which targets an edge leads to from any of the sources `reached`; (in,) -> (out,), or columns of them."""
        return _any_edge(self.mask, reached)

    def backwards(self, reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which sources an edge leads from to any of the targets `reached`; (out,) -> (in,), or columns of them."""
        return _any_edge(self.mask.T, reached)


def _any_edge(mask: Matrix, reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not sp.issparse(mask) and reached.ndim == 1:
        return np.asarray(mask[:, reached].any(axis=1))
    return np.asarray(mask.astype(np.float32) @ reached.astype(np.float32) > 0)


def identity_block(name: str, sources: Nodes, targets: Nodes) -> Block:
    """Edges from sources[k] to targets[k], as a residual sum makes them: no weight stands behind them."""
    diagonal = sp.eye_array(len(targets), len(sources), format="csr")
    return Block(name=name, sources=sources, targets=targets, weights=diagonal, kept=diagonal.astype(int), size=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelGraph:
    """A network's channels and the edges between them.

    `sources` and `sinks` are the input's and the output's nodes. `blocks` come in the order of execution: a block
    that writes to a node precedes every block that reads it, so one sweep over them follows all paths.
    Raises UsageError where that does not hold, or where a node number is out of range.
    """

    groups: tuple[NodeGroup, ...]
    sources: Nodes
    sinks: Nodes
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        """Check the node numbers and the order."""
        for what, nodes in (("sources", self.sources), ("sinks", self.sinks)):
            self._require_nodes(what, nodes)
            if len(nodes) == 0:
                raise UsageError(f"the channel graph has no {what}; give at least one node")
        read = np.zeros(self.nodes, dtype=bool)
        for block in self.blocks:
            self._require_nodes(f"sources of '{block.name}'", block.sources)
            self._require_nodes(f"targets of '{block.name}'", block.targets)
            read[block.sources] = True
            if read[block.targets].any():
                raise UsageError(
                    f"layer '{block.name}' writes to channels that it or an earlier layer has read already;"
                    " give the blocks in the order of execution"
                )

    def _require_nodes(self, what: str, nodes: Nodes) -> None:
        if len(nodes) and not 0 <= nodes.min() <= nodes.max() < self.nodes:
            raise UsageError(f"{what}: nodes {nodes.min()} to {nodes.max()} do not all lie in [0, {self.nodes - 1}]")
        if len(np.unique(nodes)) != len(nodes):
            raise UsageError(f"{what}: a node occurs twice")

    @property
    def nodes(self) -> int:
        """Number of nodes n."""
        return self.groups[-1].stop if self.groups else 0

    @cached_property
    def edges(self) -> int:
        """Number of edges, identity edges included; two blocks between the same nodes count twice."""
        return sum(block.edges for block in self.blocks)

    @cached_property
    def layers(self) -> tuple[Block, ...]:
        """The blocks that hold weights of the network: all but the identity edges."""
        return tuple(block for block in self.blocks if block.size)

    def adjacency(self) -> Matrix:
        """W as a symmetric csr_array of shape (n, n); parallel edges are added up, edges of conductance 0 left out."""
        return directed(self.blocks, self.nodes, symmetric=True)


def directed(blocks: tuple[Block, ...], nodes: int, *, symmetric: bool = False) -> Matrix:
    """The conductances of `blocks` as one (nodes, nodes) csr_array, targets in rows; `symmetric` adds the transpose."""
    parts = [(block, sp.coo_array(block.weights)) for block in blocks]
    rows = np.concatenate([block.targets[part.row] for block, part in parts] or [np.empty(0, int)])
    columns = np.concatenate([block.sources[part.col] for block, part in parts] or [np.empty(0, int)])
    values = np.concatenate([part.data for _, part in parts] or [np.empty(0)]).astype(np.float64, copy=False)
    if symmetric:
        rows, columns, values = np.concatenate([rows, columns]), np.concatenate([columns, rows]), np.tile(values, 2)
    matrix = sp.coo_array((values, (rows.astype(np.int32), columns.astype(np.int32))), shape=(nodes, nodes)).tocsr()
    matrix.eliminate_zeros()
    return matrix


def require_conductances(what: str, matrix: Matrix) -> None:
    """Raise UsageError where a value of `matrix` is NaN, infinite or negative; a signed Laplacian lets heat explode."""
    values = matrix.data if sp.issparse(matrix) else matrix
    if values.size == 0:
        return
    low, high = values.min(), values.max()
    if np.isnan(low) or np.isinf(high):
        broken = int(values.size - np.isfinite(values).sum())
        raise UsageError(f"{what}: {broken:,} weights are NaN or infinite; conductances must be finite numbers")
    if low < 0:
        raise UsageError(
            f"{what}: the smallest weight is {low:.4g}; conductances must be >= 0, take the absolute value"
        )
