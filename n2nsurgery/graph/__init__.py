"""Understands a model and changes nothing: tracing, weighted layers, and the pairs a skip may connect.

    trace(model, example_inputs)              the traced copy of a model
    layer_graph(trace)                        its weighted layers, prunable weights and pairs, as plain values
    select_pairs(graph, PairSelection(), seed=0)   the pairs that a policy takes

Every piece can be used on its own; each is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from n2nsurgery.imports import public_names

if TYPE_CHECKING:
    from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair
    from n2nsurgery.graph.layers.layering import layer_graph
    from n2nsurgery.graph.layers.pair_selection import PairSelection
    from n2nsurgery.graph.layers.pairs import select_pairs
    from n2nsurgery.graph.tracing.trace import Trace, trace

__all__ = ["LayerGraph", "LayerPair", "PairSelection", "Trace", "layer_graph", "select_pairs", "trace"]

__getattr__, __dir__ = public_names(
    __name__,
    {
        "LayerGraph": "n2nsurgery.graph.layers.layer_graph:LayerGraph",
        "LayerPair": "n2nsurgery.graph.layers.layer_graph:LayerPair",
        "PairSelection": "n2nsurgery.graph.layers.pair_selection:PairSelection",
        "Trace": "n2nsurgery.graph.tracing.trace:Trace",
        "layer_graph": "n2nsurgery.graph.layers.layering:layer_graph",
        "pairs": "n2nsurgery.graph.layers.pairs",
        "select_pairs": "n2nsurgery.graph.layers.pairs:select_pairs",
        "trace": "n2nsurgery.graph.tracing.trace:trace",
    },
)
