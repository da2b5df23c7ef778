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
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.validation import require
from n2nsurgery.masks.attachment import apply_masks, enforcer_of
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.masks.made_weights import pruned_entries
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
    full_gradient_seconds,
    measured,
    predicted,
    whole_network,
)
from n2nsurgery.sparse_training.functions import memory
from n2nsurgery.sparse_training.functions.layout import require_served
from n2nsurgery.sparse_training.functions.pattern import SparsePattern
from n2nsurgery.sparse_training.fusion import fuse
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
    full_gradients: float
    shapes: Mapping[nn.Module, tuple[torch.Size, torch.Size]]


def sparse_training(  # noqa: PLR0913 - each is a choice of the caller's
    module: nn.Module,
    masks: Mapping[str, Tensor] | None = None,
    *,
    example: Any = None,  # noqa: ANN401 - whatever the module is called with
    layers: Collection[str] | Literal["auto", "all"] = "auto",
    measure: bool = False,
    full_gradients: float = 0.0,
) -> nn.Module:
    """The sparse twin of `module`, whose masks are `masks` or those that it was pruned with.

    `layers`: with "auto" a layer stays dense where that is predicted to be faster, from the sizes that `example`, one
    batch of inputs, has in the network, or from the density alone; with `measure` both are timed. With "all" every
    layer that can be is sparse; of a collection of names those are, and no others. `choices_of` says what was chosen
    and why. Inputs are a tensor, a tuple (by position) or a dict (by name). `full_gradients`: the part of the steps in
    which gradients of all entries are wanted (`KeptValues.full_gradient`), which counts in the prediction.

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
    request = _Request(
        auto=layers != "all", measure=measure, layers=named, full_gradients=full_gradients, shapes=shapes
    )
    return _twin_of(module, known, request)


def _twin_of(module: nn.Module, masks: Mapping[str, Tensor], request: _Request) -> nn.Module:
    owners = _owners(module)
    held = {name: owners[id(module.get_parameter(name))] for name in masks}
    choices = tuple(_choice(name, mask, held[name], request) for name, mask in masks.items())
    if request.auto and request.layers is None:
        choices = whole_network(choices)
    parameters: dict[str, SparseLayer] = {}
    replaced: dict[nn.Module, nn.Module] = {}
    for (name, mask), choice in zip(masks.items(), choices, strict=True):
        if choice.engine == "sparse":
            twins = _twins_of(mask, [child for child, _ in held[name]])
            parameters[name] = next(iter(twins.values()))
            replaced |= twins
    if replaced:
        replaced |= _laid_out_twins(module, replaced)
    result = _copied(module, replaced)
    if replaced:
        fuse(result)
        feed_batch_first(result)
        memory.release_after(result)
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
    """What a deepcopy shall take as it is: parameters, buffers, the enforcer and the entries that it prunes."""
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    memo |= {id(b): b for b in module.buffers()}
    for child in module.modules():
        enforcer = enforcer_of(child)
        if enforcer is not None:
            memo[id(enforcer)] = enforcer
        if (entries := pruned_entries(child)) is not None:
            memo[id(entries)] = entries
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


def _choice(name: str, mask: Tensor, owners: list[tuple[nn.Module, str]], request: _Request) -> LayerChoice:
    """What is chosen for one masked weight, which all of `owners` hold; nothing of its size is made for it."""
    kept = int(mask.count_nonzero())
    common = {"layer": name.removesuffix(".weight"), "kept": kept, "density": kept / max(1, mask.numel())}
    reasons = [_refusal(child, attribute) for child, attribute in owners]
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is not None:
        return LayerChoice(engine="dense", reason=reason, **common)  # type: ignore[arg-type]
    child, seconds = owners[0][0], None
    shapes = request.shapes.get(child)
    if request.layers is not None:
        engine: Engine = "sparse" if common["layer"] in request.layers else "dense"
        reason = "named"
    elif not request.auto:
        engine, reason = "sparse", "asked for"
    elif shapes is None:
        engine, reason = by_density(kept / max(1, mask.numel()))
    else:
        timed = request.measure and type(child) is not N2NSkip  # which takes two activations
        sizes = _sizes(mask, kept, child, shapes)
        seconds = measured(child, _twins_of(mask, [child])[child], shapes[0]) if timed else predicted(sizes)
        seconds = replace(seconds, sparse=seconds.sparse + request.full_gradients * full_gradient_seconds(sizes))
        engine, reason = by_seconds(seconds, "measured" if timed else "predicted")
    return LayerChoice(engine=engine, reason=reason, seconds=seconds, **common)  # type: ignore[arg-type]


def _twins_of(mask: Tensor, children: list[nn.Module]) -> dict[nn.Module, SparseLayer]:
    """The twins of all layers that hold one masked weight: they share their values."""
    parameter = children[0].get_parameter("weight")
    pattern = SparsePattern.of(mask, groups=getattr(children[0], "groups", 1))
    values = nn.Parameter(parameter.detach().flatten()[pattern.flat], requires_grad=parameter.requires_grad)
    return {child: _sparse(child, pattern, values) for child in children}


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


def _sizes(mask: Tensor, kept: int, child: Any, shapes: tuple[torch.Size, torch.Size]) -> Sizes:  # noqa: ANN401
    last = type(child) is nn.Linear or (type(child) is N2NSkip and mask.ndim == 2)  # noqa: PLR2004 - (out, in)
    seen, made = shapes
    outputs = made.numel() // max(1, made[-1 if last else 1])
    # What a skip projects has been brought to the places of its target.
    inputs = outputs if type(child) is N2NSkip else seen.numel() // max(1, seen[-1 if last else 1])
    return Sizes(
        weight=tuple(mask.shape),
        kept=kept,
        groups=getattr(child, "groups", 1),
        input_elements=inputs,
        output_elements=outputs,
    )
