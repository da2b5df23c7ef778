"""Understands a model and changes nothing: tracing, weighted layers, and the pairs a skip may connect.

    trace(model, example_inputs)              the traced copy of a model
    layer_graph(trace)                        its weighted layers, prunable weights and pairs, as plain values
    select_pairs(graph, PairSelection(), seed=0)   the pairs that a policy takes

Every piece can be used on its own; each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair
    from n2nsurgery.graph.layers.layering import layer_graph
    from n2nsurgery.graph.layers.pair_selection import PairSelection
    from n2nsurgery.graph.layers.pairs import select_pairs
    from n2nsurgery.graph.tracing.trace import Trace, trace

_HOMES = {
    "LayerGraph": "layers.layer_graph",
    "LayerPair": "layers.layer_graph",
    "PairSelection": "layers.pair_selection",
    "Trace": "tracing.trace",
    "layer_graph": "layers.layering",
    "pairs": "layers.pairs",
    "select_pairs": "layers.pairs",
    "trace": "tracing.trace",
}
__all__ = ["LayerGraph", "LayerPair", "PairSelection", "Trace", "layer_graph", "select_pairs", "trace"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object of the package
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return home if name == _HOMES[name] else getattr(home, name)
