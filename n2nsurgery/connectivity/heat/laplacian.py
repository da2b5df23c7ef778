"""The Laplacian L = D - W as a mat-vec (N2NSkip paper, Eq. 3), without ever building an n x n matrix.

A dense layer is multiplied where it lies, once forwards and once transposed; all sparse layers together form one
matrix in which every edge stands once. Reading an edge once for both directions is what makes a step two to four
times cheaper than a symmetric CSR matrix, and needs no assembly of the dense reference network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh_tridiagonal

from n2nsurgery.connectivity.graph.channel_graph import (
    SPARSE_BELOW,
    Block,
    ChannelGraph,
    Matrix,
    Nodes,
    directed,
    require_conductances,
)
from n2nsurgery.core.errors import UsageError

Vector = NDArray[np.float64]

NEGLIGIBLE = 1e-14
"""Share of the largest degree below which a conductance is lost in the rounding of L. Such edges are left out: their
heat takes 1e14 times longer than others', and would be noise. Weight decay leaves many of them in dead channels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LaplacianBlock:
    """A dense layer's conductances between two ranges of nodes, or two lists of nodes where they are not ranges."""

    targets: slice | Nodes
    sources: slice | Nodes
    weights: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Laplacian:
    """L = D - W on `nodes` nodes: dense `panels`, and `sparse` (n x n, every edge once) for all the other edges.

    `negligible_edges`: number of edges that are left out, being too thin.
    """

    nodes: int
    panels: tuple[LaplacianBlock, ...]
    sparse: Matrix
    negligible_edges: int = 0

    @cached_property
    def degrees(self) -> Vector:
        """The diagonal of D: for each node the sum of its edges' conductances."""
        return self.neighbours(np.ones(self.nodes, dtype=self.sparse.dtype))

    @cached_property
    def volume(self) -> float:
        """The sum of all degrees."""
        return float(self.degrees.sum())

    @cached_property
    def _transposed(self) -> Matrix:
        return self.sparse.T

    def neighbours(self, x: Vector) -> Vector:
        """W x, for one vector of length n or for the columns of an (n, k) array."""
        y: Vector = self.sparse @ x
        y += self._transposed @ x
        for panel in self.panels:
            y[panel.targets] += panel.weights @ x[panel.sources]
            y[panel.sources] += panel.weights.T @ x[panel.targets]
        return y

    def __matmul__(self, x: Vector) -> Vector:
        """L x, for one vector of length n or for the columns of an (n, k) array."""
        degrees = self.degrees if x.ndim == 1 else self.degrees[:, None]
        return degrees * x - self.neighbours(x)

    def in_single(self) -> Laplacian:
        """The same in float32, for vectors in float32: half the time, seven digits."""
        panels = tuple(replace(panel, weights=panel.weights.astype(np.float32)) for panel in self.panels)
        return Laplacian(nodes=self.nodes, panels=panels, sparse=self.sparse.astype(np.float32))

    def assembled(self) -> Matrix:
        """L as one symmetric csc_array; dense panels cost 24 bytes for each edge."""
        blocks = tuple(_as_block(panel) for panel in self.panels)
        lower = self.sparse + directed(blocks, self.nodes)
        return (sp.diags_array(self.degrees) - lower - lower.T).tocsc()


def laplacian(graph: ChannelGraph) -> Laplacian:
    """The Laplacian of a channel graph; its dense layers are shared, not copied, where they are float64."""
    dense = tuple(block for block in graph.blocks if _stays_dense(block))
    sparse = tuple(block for block in graph.blocks if not _stays_dense(block))
    panels = tuple(
        LaplacianBlock(
            targets=_as_range(block.targets),
            sources=_as_range(block.sources),
            weights=np.ascontiguousarray(_as_array(block.weights), dtype=np.float64),
        )
        for block in dense
    )
    return _without_negligible_edges(Laplacian(nodes=graph.nodes, panels=panels, sparse=directed(sparse, graph.nodes)))


def laplacian_of(adjacency: Matrix) -> Laplacian:
    """The Laplacian of a symmetric non-negative scipy.sparse matrix; entries on its diagonal carry no heat.

    Raises UsageError where `adjacency` is not sparse, not square, not symmetric, negative, NaN or infinite.
    """
    if not sp.issparse(adjacency):
        raise UsageError(f"the adjacency is a {type(adjacency).__name__}; give a scipy.sparse matrix")
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1] or adjacency.shape[0] == 0:  # noqa: PLR2004
        raise UsageError(f"the adjacency has shape {adjacency.shape}; it must be (n, n) with n >= 1")
    matrix = sp.csr_array(adjacency, dtype=np.float64)
    matrix.sum_duplicates()
    require_conductances("the adjacency", matrix)
    difference = abs(matrix - matrix.T)
    if difference.nnz and difference.max() > 1e-12 * matrix.max():  # what summing in another order may change
        raise UsageError(
            f"the adjacency is not symmetric: W[i, j] and W[j, i] differ by up to {difference.max():.4g};"
            " give (W + W.T) / 2, or W + W.T where only one triangle is filled"
        )
    lower = sp.csr_array(sp.tril(matrix, k=-1))
    lower.eliminate_zeros()
    return _without_negligible_edges(Laplacian(nodes=matrix.shape[0], panels=(), sparse=lower))


def _without_negligible_edges(operator: Laplacian) -> Laplacian:
    """`operator` itself, or a copy without the edges whose conductance is lost in rounding."""
    least = NEGLIGIBLE * float(operator.degrees.max())

    def thin(weights: Vector) -> NDArray[np.bool_]:
        return (weights > 0) & (weights < least)

    negligible_edges = sum(int(np.count_nonzero(thin(each))) for each in _conductances(operator))
    if not negligible_edges:
        return operator
    panels = tuple(replace(each, weights=np.where(thin(each.weights), 0, each.weights)) for each in operator.panels)
    sparse = operator.sparse.copy()
    sparse.data[thin(sparse.data)] = 0
    sparse.eliminate_zeros()
    return Laplacian(nodes=operator.nodes, panels=panels, sparse=sparse, negligible_edges=negligible_edges)


def _conductances(operator: Laplacian) -> list[Vector]:
    return [operator.sparse.data, *(panel.weights for panel in operator.panels)]


def _stays_dense(block: Block) -> bool:
    pairs = len(block.targets) * len(block.sources)
    return pairs > 0 and block.edges >= SPARSE_BELOW * pairs and bool(block.size)


def _as_array(matrix: Matrix) -> Matrix:
    return matrix.toarray() if sp.issparse(matrix) else matrix


def _as_range(nodes: Nodes) -> slice | Nodes:
    """A slice where the nodes are consecutive, for then no mat-vec copies them."""
    first, last = int(nodes[0]), int(nodes[-1])
    consecutive = last - first + 1 == len(nodes) and bool((np.diff(nodes) == 1).all())
    return slice(first, last + 1) if consecutive else nodes


def _as_block(panel: LaplacianBlock) -> Block:
    def numbers(nodes: slice | Nodes) -> Nodes:
        return np.arange(nodes.start, nodes.stop) if isinstance(nodes, slice) else nodes

    weights = panel.weights
    kept = np.broadcast_to(np.int8(1), weights.shape)
    return Block(
        name="", sources=numbers(panel.sources), targets=numbers(panel.targets), weights=weights, kept=kept, size=1
    )


def tridiagonal_eigensystem(
    diagonal: Sequence[float] | Vector, beside: Sequence[float] | Vector
) -> tuple[Vector, NDArray[np.float64]]:
    """Eigenvalues (m), ascending, and eigenvectors as columns (m, m): `diagonal` (m), and what is `beside` it (m-1).

    LAPACK's stemr is the fastest, but may not converge (seen with SciPy 1.15). Then stev, a QR iteration, takes up to
    ten times as long.
    """
    if len(diagonal) == 1:
        return np.array(diagonal, dtype=np.float64), np.ones((1, 1))
    try:
        values, vectors = eigh_tridiagonal(diagonal, beside, lapack_driver="stemr")
    except LinAlgError:
        values, vectors = eigh_tridiagonal(diagonal, beside, lapack_driver="stev")
    return values, vectors
