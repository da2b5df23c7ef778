"""The parts of a model that can be followed where the whole cannot: a detector's backbone, neck and heads.

The model runs once on the examples. Every submodule with weights that can be traced on the arguments of its first call
is a region, the outermost ones first. Between regions nothing is known, so no skip runs from one to another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_map_only

from n2nsurgery.core.errors import TraceError
from n2nsurgery.core.outputs import call, samples_in
from n2nsurgery.graph.model_inputs import Region
from n2nsurgery.graph.tracing.following.follow import Followed, Leaf, follow_mode
from n2nsurgery.graph.tracing.side_effects import draws_undone, unchanged
from n2nsurgery.graph.tracing.weight_uses import WeightUses

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def follow_regions(root: nn.Module, examples: Mapping[str, Any], reason: TraceError) -> Followed:
    """The regions of `root` in eval mode as one graph, with all weights that a run on the examples uses.

    Raises `reason`, for which the whole cannot be followed, where the model does not run on them either.
    """
    try:
        calls, counted = _run(root, examples)
    except Exception as error:
        raise reason from error
    found = Followed(unusable=str(reason), unfollowed=str(reason))
    regions = [*_regions(root, "", calls)]
    inputs = {name: value for _, given in regions for name, value in given.items()}
    kept = [region for region, _ in regions]
    if kept:
        follow_mode(root, inputs, found, mode=False, regions=tuple(kept))
    else:
        found.graphs[False] = fx.Graph()
        found.graphs[False].output(())
    found.leaves.append(Leaf(class_name=type(root).__name__, paths=("",), reason=str(reason)))
    _add_uses(found, root, counted, _samples(examples))
    return found


def _run(root: nn.Module, examples: Mapping[str, Any]) -> tuple[dict[str, Arguments], WeightUses]:
    """The arguments of every submodule's first call, and which weights were used."""
    calls: dict[str, Arguments] = {}

    def remember(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(path, (args, kwargs))

    root.eval()
    with ExitStack() as stack:
        for context in (unchanged(root), draws_undone(), torch.no_grad()):
            stack.enter_context(context)
        for path, module in root.named_modules():
            handle = module.register_forward_pre_hook(
                lambda _, args, kwargs, path=path: remember(path, args, kwargs), with_kwargs=True
            )
            stack.callback(handle.remove)
        with WeightUses() as counted:
            call(root, tree_map_only(torch.Tensor, torch.clone, dict(examples)))
    return calls, counted


def _regions(root: nn.Module, path: str, calls: Mapping[str, Arguments]) -> Iterator[tuple[Region, dict[str, Any]]]:
    """The outermost submodules below `path` that can be followed, with their examples by name."""
    for name, child in root.get_submodule(path).named_children():
        inner = f"{path}.{name}".lstrip(".")
        if next(child.parameters(), None) is None:
            continue
        region = _region(inner, calls[inner]) if inner in calls else None
        if region is not None and _can_be_followed(root, *region):
            yield region
        else:
            yield from _regions(root, inner, calls)


def _region(path: str, arguments: Arguments) -> tuple[Region, dict[str, Any]]:
    """The region at `path`, and its arguments by the names of placeholders."""
    positional, named = arguments
    prefix = re.sub(r"\W", "_", path)
    args = {f"{prefix}_{index}": value for index, value in enumerate(positional)}
    kwargs = {f"{prefix}_{key}": value for key, value in named.items()}
    region = Region(path=path, positional=tuple(args), named=dict(zip(named, kwargs, strict=True)))
    return region, args | kwargs


def _can_be_followed(root: nn.Module, region: Region, inputs: Mapping[str, Any]) -> bool:
    """Whether the region is looked into, in place of becoming one node."""
    found = Followed()
    try:
        follow_mode(root, inputs, found, mode=False, regions=(region,))
    except TraceError:
        return False
    return all(region.path not in leaf.paths for leaf in found.leaves)


def _samples(examples: Mapping[str, Any]) -> int:
    """The number of samples: of a list of images, its length."""
    first = next(iter(examples.values()))
    return len(first) if isinstance(first, list | tuple) else samples_in(list(examples.values()))


def _add_uses(found: Followed, root: nn.Module, counted: WeightUses, samples: int) -> None:
    """What the run showed of the weights, for one sample; for weights that no region shows."""
    for name, parameter in root.named_parameters():
        if parameter in counted.products:
            found.uses.setdefault(name, counted.uses[parameter] // samples)
            found.products.setdefault(name, counted.products[parameter])
        if parameter in counted.tables:
            found.tables.add(name)
