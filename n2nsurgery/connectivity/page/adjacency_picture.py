"""The adjacency matrix as a picture (N2NSkip paper, Fig. 3): which channels are connected, n x n squeezed to pixels.

Rows and columns are the channels in the order of the network, so that a layer is a rectangle beside the diagonal and a
skip one farther away; the matrix is symmetric, as heat sees it. A pixel's shade is the share of its pairs of channels
that are connected, its colour tells layers, skips and identity edges apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, Nodes
from n2nsurgery.connectivity.page.png import Colour, data_url
from n2nsurgery.connectivity.report.layer_table import IDENTITY, LAYER

PIXELS = 1000
SHADES = 60
FAINTEST = 0.4
"""Opacity of a pixel with the least that there is."""
COLOURS = {LAYER: (42, 120, 214), "skip": (235, 104, 52), IDENTITY: (137, 135, 129)}
"""Blue, orange and grey: told apart under every common colour blindness, on light and on dark paper."""


@dataclass(frozen=True, kw_only=True)
class PictureCell:
    """The edges between two groups: from group `source` to group `target`, by number."""

    source: int
    target: int
    edges: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class AdjacencyPicture:
    """`image`: a data URL of `pixels` x `pixels`. `cells`: what the pixels of two groups stand for, in numbers."""

    image: str
    pixels: int
    nodes: int
    cells: tuple[PictureCell, ...]


def adjacency_picture(graph: ChannelGraph, skips: Mapping[str, str], *, most: int = PIXELS) -> AdjacencyPicture:
    """The picture of `graph`, at most `most` pixels wide. `skips`: kinds of blocks that are skips, by name."""
    pixels = min(graph.nodes, most)
    planes = np.zeros((len(COLOURS), pixels, pixels), dtype=np.float32)
    kinds = list(COLOURS)
    for block in graph.blocks:
        _count(planes[kinds.index(_kind(block, skips))], block, graph.nodes)
    planes += planes.transpose(0, 2, 1)
    sizes = np.bincount(np.arange(graph.nodes) * pixels // graph.nodes, minlength=pixels)
    share = planes.sum(axis=0) / np.multiply.outer(sizes, sizes)
    return AdjacencyPicture(
        image=data_url(_indices(planes, share, kinds), _palette()),
        pixels=pixels,
        nodes=graph.nodes,
        cells=tuple(cell for block in graph.blocks for cell in _cells(graph, block, _kind(block, skips))),
    )


def _kind(block: Block, skips: Mapping[str, str]) -> str:
    return "skip" if block.name in skips else LAYER if block.size else IDENTITY


def _count(plane: NDArray[np.float32], block: Block, nodes: int) -> None:
    """Add the number of edges of `block` to each pixel."""
    pixels = len(plane)
    rows, columns = (ends * pixels // nodes for ends in (block.targets, block.sources))
    if not len(rows) or not len(columns):
        return
    window = plane[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    merged = _merging(rows) @ block.mask.astype(np.float32) @ _merging(columns).T
    window += merged.toarray() if sp.issparse(merged) else merged


def _merging(places: Nodes) -> sp.csr_array:
    """(last - first + 1, len(places)): 1 where a node falls into a pixel, counted from the first one used."""
    ones = np.ones(len(places), dtype=np.float32)
    return sp.csr_array((ones, (places - places.min(), np.arange(len(places)))))


def _indices(planes: NDArray[np.float32], share: NDArray[np.float64], kinds: list[str]) -> NDArray[np.uint8]:
    """0 where there is no edge; skips lie over identity edges, and these over layers."""
    order = [kinds.index(kind) for kind in (LAYER, IDENTITY, "skip")]
    colour = np.zeros(share.shape, dtype=np.int64)
    for kind in order:
        colour[planes[kind] > 0] = kind
    top = np.percentile(share[share > 0], 99) if (share > 0).any() else 1.0
    shade = np.ceil(np.sqrt(np.clip(share / top, 0, 1)) * SHADES)
    return np.where(share > 0, colour * SHADES + shade, 0).astype(np.uint8)


def _palette() -> list[Colour]:
    shades = [round(255 * (FAINTEST + (1 - FAINTEST) * shade / SHADES)) for shade in range(1, SHADES + 1)]
    return [(0, 0, 0, 0), *((*colour, shade) for colour in COLOURS.values() for shade in shades)]


def _cells(graph: ChannelGraph, block: Block, kind: str) -> list[PictureCell]:
    starts = np.array([group.start for group in graph.groups])
    rows, columns = (np.searchsorted(starts, ends, side="right") - 1 for ends in (block.targets, block.sources))
    found = []
    for target in np.unique(rows):
        for source in np.unique(columns):
            edges = int(block.mask[rows == target][:, columns == source].sum())
            if edges:
                found.append(PictureCell(source=int(source), target=int(target), edges=edges, kind=kind))
    return found
