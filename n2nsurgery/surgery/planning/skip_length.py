"""The skip length `auto`: the paper's, or the one that finds places where that does not fit.

A network of transformer blocks has its places over four layers (from one MLP over the attention into the next), a
network of three layers only over two. The paper's 3 fits where it serves at least half as many layers as any other
length does. Else the length that serves most is taken, the shortest of several. With `auto`, skips that cannot hold an
explicit ratio leave the rest to the original layers, with a warning.
"""

from __future__ import annotations

from dataclasses import replace

from n2nsurgery.graph.layers.layer_graph import LayerGraph
from n2nsurgery.graph.layers.pairs import select_pairs
from n2nsurgery.skips.kind import SkipOptions, kind_of
from n2nsurgery.surgery.planning.config import SurgeryConfig

_ENOUGH = 0.5  # of the layers that another length serves


def skip_length_of(graph: LayerGraph, config: SurgeryConfig) -> int:
    """The skip length of `config`, chosen for `graph` where it is `auto`; raises as `select_pairs` does."""
    if config.skip_length != "auto":
        return config.skip_length
    asked = config.pair_selection
    if config.skip == "none":
        return asked.length
    kind, options = kind_of(config.skip, config.skip_options), SkipOptions(pooling=config.pooling)

    def served(length: int) -> int:
        pairs, _ = select_pairs(graph, replace(asked, length=length), seed=config.seed)
        return len({pair.target for pair in pairs if kind.accepts(pair, options) is None})

    here = served(asked.length)
    if here >= _ENOUGH * len({pair.target for pair in graph.pairs}):
        return asked.length
    best = max(sorted({pair.length for pair in graph.pairs}), key=served)  # the first of several: the shortest
    return asked.length if here >= _ENOUGH * served(best) else best
