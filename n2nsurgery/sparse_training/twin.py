"""The sparse twin of a pruned module, and the way back.

    twin = sparse_training(module)          # module: pruned by n2nsurgery, or any module with `masks`
    ... train `twin` in any loop; an optimizer made of twin.parameters() sees kept values only ...
    to_dense(twin)                          # writes the values back; returns `module`

The twin has the same tree of modules. Sparse layers stand in the places of the dense ones, BatchNorm and pooling keep
the layout of activations; everything else is a copy that shares its parameters and buffers with the original. The
state_dict has the same keys and shapes. A module or weight which is used in several places is so in the twin, too.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require
from n2nsurgery.masks.attachment import apply_masks, enforcer_of
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.skips.kinds.n2n import N2NSkip
from n2nsurgery.skips.kinds.residual import ResSkip
from n2nsurgery.sparse_training.carried_hooks import carry_hooks
from n2nsurgery.sparse_training.choice import (
    Engine,
    LayerChoice,
    Sizes,
    by_density,
    by_seconds,
    measured,
    predicted,
    whole_network,
)
from n2nsurgery.sparse_training.functions.layout import require_served
from n2nsurgery.sparse_training.functions.pattern import SparsePattern
from n2nsurgery.sparse_training.fusion import fuse_relu
from n2nsurgery.sparse_training.modules.dense_neighbours import feed_batch_first
from n2nsurgery.sparse_training.modules.laid_out import laid_out_twin
from n2nsurgery.sparse_training.modules.layers import SparseConv, SparseLayer, SparseLinear, conv_refusal, geometry_of
from n2nsurgery.sparse_training.modules.skips import laid_out_skip, skip_twin
from n2nsurgery.sparse_training.seen_shapes import seen_shapes

_ATTRIBUTE = "_n2n_sparse_training"
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(kw_only=True)
class _Record:
    """What `to_dense` has to know; follows a deepcopy of the twin."""

    original: nn.Module
    parameters: dict[str, SparseLayer]  # by the name of the weight in the original
    choices: tuple[LayerChoice, ...]


@dataclass(frozen=True, kw_only=True)
class _Request:
    """How engines are chosen: `layers` by their names, else by rule; shapes of inputs and outputs by layer."""

    auto: bool
    measure: bool
    layers: frozenset[str] | None
    shapes: Mapping[nn.Module, tuple[torch.Size, torch.Size]]


def sparse_training(
    module: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    *,
    example: Any = None,  # noqa: ANN401 - whatever the module is called with
    layers: Collection[str] | Literal["auto", "all"] = "auto",
    measure: bool = False,
) -> nn.Module:
    """The sparse twin of `module`, whose masks are `masks` or those that it was pruned with.

    `layers`: with "auto" a layer stays dense where that is predicted to be faster, from the sizes that `example`, one
    batch of inputs, has in the network, or from the density alone; with `measure` both are timed. With "all" every
    layer that can be is sparse; of a collection of names those are, and no others. `choices_of` says what was chosen
    and why. Inputs are a tensor, a tuple (by position) or a dict (by name).

    Raises UsageError for a module without masks, for masks that do not fit, for weights that are not float32 on the
    CPU, and for `measure` without `example`; LibraryNotBuiltError where the native library is not there.
    """
    require(not isinstance(layers, str) or layers in {"auto", "all"}, "layers", layers, "auto, all or names of layers")
    if measure and example is None:
        raise UsageError("nothing can be measured without an example: pass one batch of inputs as `example`")
    known = _masks_of(module, masks)
    enforcer = enforcer_of(module)
    if masks is not None and (enforcer is None or enforcer.masks != known):
        apply_masks(module, MaskSet(known))  # layers that stay dense are masked by its hooks
    shapes = {} if example is None else seen_shapes(module, example)
    named = None if isinstance(layers, str) else frozenset(layers)
    return _twin_of(module, known, _Request(auto=layers != "all", measure=measure, layers=named, shapes=shapes))


def _twin_of(module: nn.Module, masks: Mapping[str, Tensor], request: _Request) -> nn.Module:
    owners = _owners(module)
    made = {
        name: _twins_of(name, mask, owners[id(module.get_parameter(name))], request) for name, mask in masks.items()
    }
    choices = tuple(choice for choice, _ in made.values())
    if request.auto and request.layers is None:
        choices = whole_network(choices)
    parameters: dict[str, SparseLayer] = {}
    replaced: dict[nn.Module, nn.Module] = {}
    for (name, (_, twins)), choice in zip(made.items(), choices, strict=True):
        if choice.engine == "sparse":
            parameters[name] = next(iter(twins.values()))
            replaced |= twins
    if replaced:
        replaced |= _laid_out_twins(module, replaced)
    result = _copied(module, replaced)
    if replaced:
        fuse_relu(result)
        feed_batch_first(result)
    result.__dict__[_ATTRIBUTE] = _Record(original=module, parameters=parameters, choices=choices)
    return result


def _laid_out_twins(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> dict[nn.Module, nn.Module]:
    """Twins of what lies between sparse layers and keeps the layout of activations."""
    others = [child for child in module.modules() if child not in replaced]
    twins = {child: laid_out_skip(child) if type(child) is ResSkip else laid_out_twin(child) for child in others}
    return {child: twin for child, twin in twins.items() if twin is not None}


def _copied(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """A copy of `module` with other modules in place of some; raises UsageError where it cannot be copied."""
    memo = _shared(module) | {id(child): twin for child, twin in replaced.items()}
    try:
        carry_hooks(replaced.items(), memo)
        result: nn.Module = copy.deepcopy(module, memo)
    except (RuntimeError, TypeError) as error:  # what a deepcopy says of graphs, locks, files and generators
        raise UsageError(f"{type(module).__name__} cannot be copied, and a sparse twin is a copy: {error}") from error
    _without_enforcer(result)
    return result


def choices_of(twin: nn.Module) -> tuple[LayerChoice, ...]:
    """What each masked layer is computed with and why; raises UsageError for a module that is not a twin."""
    return _record_of(twin).choices


@torch.no_grad()
def to_dense(twin: nn.Module) -> nn.Module:
    """The original module, with the twin's values in its weights and zeros elsewhere, in the twin's mode.

    Its masks become those of the twin's present patterns. The twin can be trained on. Raises UsageError for a module
    that is not a twin.
    """
    record = _record_of(twin)
    present: dict[str, Tensor] = {}
    for name, layer in record.parameters.items():
        record.original.get_parameter(name).copy_(layer.weight)
        present[name] = layer.pattern.mask()
    enforcer = enforcer_of(record.original)
    if enforcer is not None and any(not torch.equal(enforcer.masks[name], mask) for name, mask in present.items()):
        apply_masks(record.original, MaskSet({**enforcer.masks, **present}))
    for name, child in twin.named_modules():
        record.original.get_submodule(name).training = child.training
    return record.original


def _record_of(twin: nn.Module) -> _Record:
    record = twin.__dict__.get(_ATTRIBUTE)
    if not isinstance(record, _Record):
        raise UsageError(f"{type(twin).__name__} is not a sparse twin; `sparse_training` makes one")
    return record


def _masks_of(module: nn.Module, masks: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    enforcer = enforcer_of(module)
    if masks is None and enforcer is None:
        raise UsageError(f"{type(module).__name__} has no masks and none are given: nothing is pruned")
    known: Mapping[str, Tensor] = enforcer.masks if masks is None and enforcer is not None else MaskSet(masks or {})
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, mask in known.items():
        if name not in parameters:
            raise UsageError(f"the masks name '{name}', which is not a parameter of {type(module).__name__}")
        require_served(parameters[name], f"'{name}'")
        if mask.shape != parameters[name].shape:
            raise UsageError(f"the mask of '{name}' has shape {tuple(mask.shape)}, not {tuple(parameters[name].shape)}")
    return known


def _shared(module: nn.Module) -> dict[int, Any]:
    """What a deepcopy shall take as it is: parameters, buffers; and nothing in place of the enforcer."""
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    memo |= {id(b): b for b in module.buffers()}
    for child in module.modules():
        enforcer = enforcer_of(child)
        if enforcer is not None:
            memo[id(enforcer)] = enforcer
    return memo


def _without_enforcer(twin: nn.Module) -> None:
    """Take the original's enforcer off the twin, which has only some of its parameters; a load asks it again."""
    for child in twin.modules():
        for name in [name for name, value in child.__dict__.items() if isinstance(value, MaskEnforcer)]:
            del child.__dict__[name]
    twin.register_load_state_dict_post_hook(_mask_dense_layers)  # type: ignore[no-untyped-call]


def _mask_dense_layers(twin: nn.Module, _: object) -> None:
    enforcer = enforcer_of(_record_of(twin).original)
    if enforcer is not None:
        enforcer.apply()


def _owners(module: nn.Module) -> dict[int, list[tuple[nn.Module, str]]]:
    """Who holds each parameter, and under which attribute."""
    owners: dict[int, list[tuple[nn.Module, str]]] = {}
    for child in module.modules():
        for attribute, parameter in child.named_parameters(recurse=False, remove_duplicate=False):
            owners.setdefault(id(parameter), []).append((child, attribute))
    return owners


def _twins_of(
    name: str, mask: Tensor, owners: list[tuple[nn.Module, str]], request: _Request
) -> tuple[LayerChoice, dict[nn.Module, SparseLayer]]:
    """What is chosen for one masked weight, and the twins of all layers that hold it: they share their values."""
    layer = name.removesuffix(".weight")
    reasons = [_refusal(child, attribute) for child, attribute in owners]
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is not None:
        kept = int(mask.sum())
        density = kept / max(1, mask.numel())
        return LayerChoice(layer=layer, engine="dense", reason=reason, kept=kept, density=density), {}
    children = [child for child, _ in owners]
    parameter = children[0].get_parameter("weight")
    pattern = SparsePattern.of(mask, groups=getattr(children[0], "groups", 1))
    values = nn.Parameter(parameter.detach().flatten()[pattern.flat], requires_grad=parameter.requires_grad)
    twins = {child: _sparse(child, pattern, values) for child in children}
    choice = _choose(layer, children[0], twins[children[0]], request)
    return choice, twins if choice.engine == "sparse" else {}


def _refusal(child: nn.Module, attribute: str) -> str | None:
    if attribute != "weight":
        return f"{type(child).__name__} holds it as '{attribute}'"
    if type(child) in _CONVOLUTIONS:
        return conv_refusal(child)  # type: ignore[arg-type]
    return None if type(child) in (nn.Linear, N2NSkip) else f"{type(child).__name__} has no sparse twin"


def _sparse(child: Any, pattern: SparsePattern, values: nn.Parameter) -> SparseLayer:  # noqa: ANN401 - several classes
    if type(child) is N2NSkip:
        return skip_twin(child, pattern, values)
    if type(child) is nn.Linear:
        return SparseLinear(pattern, values, child.bias).train(child.training)
    return SparseConv(pattern, values, child.bias, geometry_of(child)).train(child.training)


def _choose(name: str, child: nn.Module, twin: SparseLayer, request: _Request) -> LayerChoice:
    pattern = twin.pattern
    common = {"layer": name, "kept": pattern.kept, "density": pattern.density}
    shapes = request.shapes.get(child)
    if request.layers is not None:
        engine: Engine = "sparse" if name in request.layers else "dense"
        return LayerChoice(engine=engine, reason="named", **common)  # type: ignore[arg-type]
    if not request.auto:
        return LayerChoice(engine="sparse", reason="asked for", **common)  # type: ignore[arg-type]
    if shapes is None:
        engine, reason = by_density(pattern.density)
        return LayerChoice(engine=engine, reason=reason, **common)  # type: ignore[arg-type]
    timed = request.measure and type(child) is not N2NSkip  # which takes two activations
    seconds = measured(child, twin, shapes[0]) if timed else predicted(_sizes(pattern, child, shapes))
    engine, reason = by_seconds(seconds, "measured" if timed else "predicted")
    return LayerChoice(engine=engine, reason=reason, seconds=seconds, **common)  # type: ignore[arg-type]


def _sizes(pattern: SparsePattern, child: nn.Module, shapes: tuple[torch.Size, torch.Size]) -> Sizes:
    last = type(child) is nn.Linear or (type(child) is N2NSkip and len(pattern.shape) == 2)  # noqa: PLR2004 - (out, in)
    seen, made = shapes
    outputs = made.numel() // max(1, made[-1 if last else 1])
    # What a skip projects has been brought to the places of its target.
    inputs = outputs if type(child) is N2NSkip else seen.numel() // max(1, seen[-1 if last else 1])
    return Sizes(
        weight=pattern.shape,
        kept=pattern.kept,
        groups=pattern.groups,
        input_elements=inputs,
        output_elements=outputs,
    )
