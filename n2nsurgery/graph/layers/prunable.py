"""Which parameters masks may prune: the weights of conv and linear layers, also those that no node of a graph shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import nn

from n2nsurgery.graph.layers.layer_graph import Operator, PrunableWeight, Rejection, WeightedLayer, WeightLayout
from n2nsurgery.graph.tracing.leaves import WEIGHTED_MODULES

_PACKED_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_REASON = "not a weight of a conv or linear layer: kept dense, not counted"


def prunable_weights(
    module: nn.Module, layers: Iterable[WeightedLayer], uses: Mapping[str, int]
) -> tuple[tuple[PrunableWeight, ...], tuple[Rejection, ...]]:
    """Weights of conv and linear layers in the model's parameter order, each once; the other matrices are refused.

    `uses` gives, by name, the multiply-accumulates of one weight where `layers` do not show the weight.
    """
    found: dict[str, PrunableWeight] = {}
    for weight in (*_of_layers(module, layers), *_of_leaves(module, uses)):
        found.setdefault(weight.name, weight)
    order = [name for name, parameter in module.named_parameters() if parameter.dim() > 1]
    rejected = tuple(Rejection(source=name, target="", reason=_REASON) for name in order if name not in found)
    return tuple(found[name] for name in order if name in found), rejected


def _of_layers(module: nn.Module, layers: Iterable[WeightedLayer]) -> Iterator[PrunableWeight]:
    calls: dict[str, list[WeightedLayer]] = {}
    for layer in layers:
        calls.setdefault(layer.weight, []).append(layer)
    for name, sharing in calls.items():
        first, weight = sharing[0], module.get_parameter(name)
        macs = sum(layer.macs for layer in sharing if "eval" in layer.modes)
        yield PrunableWeight(
            name=name,
            layer=first.name,
            shape=tuple(weight.shape),
            layout=_layout(first.operator),
            groups=first.groups,
            uses=macs // max(1, weight.numel()),
        )


def _layout(operator: Operator) -> WeightLayout:
    if operator == "linear":
        return "linear"
    return "conv_transpose" if operator.startswith("conv_transpose") else "conv"


def _of_leaves(module: nn.Module, uses: Mapping[str, int]) -> Iterator[PrunableWeight]:
    """The weights of every conv, linear and attention module, whether or not a graph calls it."""
    canonical = {id(parameter): name for name, parameter in module.named_parameters()}
    for layer, parameter, layout, groups in _matrices(module):
        name = canonical[id(parameter)]
        shape = tuple(parameter.shape)
        yield PrunableWeight(name=name, layer=layer, shape=shape, layout=layout, groups=groups, uses=uses.get(name, 0))


def _matrices(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, WeightLayout, int]]:
    """Layer name, weight, layout and groups."""
    for path, child in module.named_modules():
        if isinstance(child, nn.Linear) and isinstance(child.weight, nn.Parameter):
            yield path, child.weight, "linear", 1
        elif isinstance(child, WEIGHTED_MODULES) and isinstance(child.weight, nn.Parameter):
            yield path, child.weight, "conv_transpose" if child.transposed else "conv", int(child.groups)  # type: ignore[arg-type]
        elif isinstance(child, nn.MultiheadAttention):
            for attribute in _PACKED_PROJECTIONS:
                if (packed := getattr(child, attribute)) is not None:
                    yield f"{path}.{attribute.removesuffix('_weight')}".lstrip("."), packed, "linear", 1
