"""The networks whose heat the N2NSkip paper compares: dense, and pruned to a density with and without skips.

`RP` is random pruning, `CSP` connection sensitivity, and `N2NSkip-` puts half of the same budget into random skips with
the target's kernel (Eq. 2), as `--preset paper` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.graph.network_graph import channel_graph
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.graph.channels.from_torch.network import channel_network
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.prune.apply import apply
from n2nsurgery.pipelines.prune.given_model import inputs_of

PAPER: Mapping[str, Any] = MappingProxyType(
    {"skip_pattern": "random", "skip_ratio": 0.5, "skip_kernel": "target", "skip_norm": "never", "redistribute": True}
)
PRUNED: Mapping[str, Any] = MappingProxyType({"skip": "none", "skip_ratio": 0.0})
METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "RP": {"criterion": "random", "criterion_options": {"allocation": "uniform"}, **PRUNED},
        "N2NSkip-RP": {"criterion": "random", "criterion_options": {"allocation": "uniform"}, **PAPER},
        "CSP": {"criterion": "snip", **PRUNED},
        "N2NSkip-CSP": {"criterion": "snip", **PAPER},
    }
)
SENTENCES = (
    "Networks are taken at initialization, where the paper takes them after training.",
    "RP keeps the same density in every layer. CSP scores one batch of 128 noise images.",
    "Half of the budget of N2NSkip is in random skips over three layers with the target's kernel (Eq. 2).",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PrunedNetwork:
    """A pruned network's graph and its masks."""

    subject: Subject
    masks: MaskSet


def dense_network(model: str, conventions: GraphOptions, *, seed: int) -> Subject:
    """The network before pruning."""
    bundle = resolve_model(model, seed=seed)
    network = channel_network(bundle.module, inputs_of(bundle))
    return Subject(graph=channel_graph(network, conventions))


def pruned_networks(
    model: str, method: str, density: float, conventions: tuple[GraphOptions, ...], *, seed: int
) -> tuple[PrunedNetwork, ...]:
    """The network pruned by `method` (a key of METHODS), once for each of the conventions."""
    bundle = resolve_model(model, seed=seed)
    inputs = inputs_of(bundle)
    pruned = apply(model, density=density, seed=seed, **METHODS[method])
    with torch.no_grad():
        network = channel_network(pruned.module, inputs, masks=pruned.masks)
    return tuple(
        PrunedNetwork(subject=Subject(graph=channel_graph(network, rules)), masks=pruned.masks) for rules in conventions
    )
