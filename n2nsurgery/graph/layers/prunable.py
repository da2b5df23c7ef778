"""Which parameters masks may prune: the weights that inputs are multiplied with, whether or not a graph shows them.

Those are the weights of convolutions and linear maps, of attention, of recurrent and bilinear layers, and of every
product with a parameter. Tables in which rows are looked up are none, tied ones included. Where a layer multiplies with
a weight that it computes first, the parameter is one that has the zeros of that weight (see `used_weight`), or gives it
its zeros once it is pruned (see `made_weight`). Where there is none, masks would not prune what is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import nn
from torch.nn.utils import parametrize

from n2nsurgery.graph.layers.layer_graph import LeftDense, Operator, PrunableWeight, WeightedLayer
from n2nsurgery.graph.made_weight import makes_its_weight
from n2nsurgery.graph.tracing.leaves import computes_its_weight, is_matrix_layer
from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.graph.tracing.weight_uses import Product
from n2nsurgery.graph.used_weight import holder_of
from n2nsurgery.graph.weight_layout import WeightLayout

_PACKED_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_NO_WEIGHT = "not a weight of a conv or linear layer: kept dense, not counted"
_COMPUTED = "its layer computes the weight that it uses from this one: kept dense, not counted"
_PARAMETRIZED = (
    "its layer computes its weight from this one ({kinds}), which torch.nn.utils.parametrize.remove_parametrizations"
    " ends: kept dense, not counted"
)
_TABLE = "an embedding table: kept dense, not counted"
_TIED = "an embedding table, tied to '{layer}', which stays dense with it: kept dense, not counted"


def prunable_weights(
    trace: Trace, layers: Iterable[WeightedLayer]
) -> tuple[tuple[PrunableWeight, ...], tuple[LeftDense, ...]]:
    """The prunable weights in the model's parameter order, each once; the other matrices with the reason."""
    module = trace.module
    parameters = {name: p for name, p in module.named_parameters() if p.dim() > 1}
    found: dict[str, PrunableWeight] = {}
    known = (*_of_layers(module, layers), *_of_modules(module, trace.weight_uses), *_of_products(parameters, trace))
    for weight in known:
        found.setdefault(weight.name, weight)
    left = dict(_left(trace, found))
    return (
        tuple(found[name] for name in parameters if name in found and name not in left),
        tuple(
            LeftDense(name=name, numel=parameter.numel(), reason=left.get(name, _NO_WEIGHT))
            for name, parameter in parameters.items()
            if name in left or name not in found
        ),
    )


def uncalled_weights(trace: Trace, weights: Iterable[PrunableWeight]) -> tuple[str, ...]:
    """Those of `weights` that no graph reads and no function was seen to multiply with, in either mode.

    None where a mode or a part of the model could not be followed: then they may be read there.
    """
    module = trace.module
    if trace.unfollowed is not None or module.n2n_unusable is not None:
        return ()
    read: set[int] = set()
    for node in (node for graph in module.n2n_graphs for node in graph.nodes):
        if node.op == "call_module":
            read |= {id(parameter) for parameter in module.get_submodule(str(node.target)).parameters()}
        elif node.op == "get_attr":
            path, _, name = str(node.target).rpartition(".")
            read.add(id(getattr(module.get_submodule(path), name, None)))
    unused = (weight.name for weight in weights if not weight.uses and not trace.weight_uses.get(weight.name))
    return tuple(name for name in unused if id(module.get_parameter(name)) not in read)


def _left(trace: Trace, found: Mapping[str, PrunableWeight]) -> Iterator[tuple[str, str]]:
    """Names and reasons of the weights that stay dense though a product may read them."""
    canonical = {id(parameter): name for name, parameter in trace.module.named_parameters()}
    holders = {id(holder) for child in trace.module.modules() if (holder := _own_holder(child)) is not None}
    for path, child in trace.module.named_modules():
        if computes_its_weight(child):
            name = canonical[id(_own_holder(child))]
            if name not in trace.weight_uses and not makes_its_weight(child):
                yield name, _COMPUTED
        if isinstance(child, parametrize.ParametrizationList):
            kinds = ", ".join(type(each).__name__.lstrip("_") for each in child)
            for parameter in child.parameters():
                if id(parameter) not in holders:
                    yield canonical[id(parameter)], _PARAMETRIZED.format(kinds=kinds)
        if isinstance(child, nn.Embedding | nn.EmbeddingBag) and (table := _own_holder(child)) is not None:
            yield _table(canonical[id(table)], path, found)
    for name in trace.tables:
        yield _table(name, name.rpartition(".")[0], found)


def _table(name: str, path: str, found: Mapping[str, PrunableWeight]) -> tuple[str, str]:
    tied = found.get(name)
    return name, _TABLE if tied is None or tied.layer == path else _TIED.format(layer=tied.layer)


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
            layout=first.layout or _layout(first.operator),
            groups=first.groups,
            uses=macs // max(1, weight.numel()),
        )


def _layout(operator: Operator) -> WeightLayout:
    if operator == "linear":
        return "linear"
    return "conv_transpose" if operator.startswith("conv_transpose") else "conv"


def _of_modules(module: nn.Module, uses: Mapping[str, int]) -> Iterator[PrunableWeight]:
    """The weights of every conv, linear, attention and recurrent module, whether or not a graph calls it."""
    canonical = {id(parameter): name for name, parameter in module.named_parameters()}
    for layer, parameter, product in _matrices(module):
        name = canonical[id(parameter)]
        shape = tuple(parameter.shape)
        used = uses.get(name, 0)
        yield PrunableWeight(
            name=name, layer=layer, shape=shape, layout=product.layout, groups=product.groups, uses=used
        )


def _matrices(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, Product]]:
    """Layer name, weight, and how it is multiplied with."""
    for path, child in module.named_modules():
        if isinstance(child, nn.RNNBase | nn.RNNCellBase | nn.MultiheadAttention):
            for name, weight in child.named_parameters(recurse=False):
                if name.startswith("weight") or name in _PACKED_PROJECTIONS:
                    yield f"{path}.{name.removesuffix('_weight')}".lstrip("."), weight, Product(layout="linear")
        elif (product := _own_product(child)) is not None and (holder := _own_holder(child)) is not None:
            yield path, holder, product


def _own_holder(layer: nn.Module) -> nn.Parameter | None:
    """The parameter with the zeros of the `weight` of `layer`."""
    found = holder_of(layer)
    return None if found is None else found[1]


def _own_product(module: nn.Module) -> Product | None:
    """How a layer multiplies with its `weight`; None for every other module."""
    if isinstance(module, nn.Linear):
        return Product(layout="linear")
    if isinstance(module, nn.modules.conv._ConvNd):  # noqa: SLF001 - the only name of the base class
        return Product(layout="conv_transpose" if module.transposed else "conv", groups=module.groups)
    if isinstance(module, nn.Bilinear):
        return Product(layout="conv")
    return Product(layout="matrix") if is_matrix_layer(module) else None


def _of_products(parameters: Mapping[str, nn.Parameter], trace: Trace) -> Iterator[PrunableWeight]:
    """The parameters that are multiplied with anywhere else."""
    for name, product in trace.products.items():
        if name in parameters:
            shape = tuple(parameters[name].shape)
            yield PrunableWeight(
                name=name,
                layer=name.removesuffix(".weight"),
                shape=shape,
                layout=product.layout,
                groups=shape[0] if product.layout.endswith("stack") else product.groups,
                uses=trace.weight_uses.get(name, 0),
            )
