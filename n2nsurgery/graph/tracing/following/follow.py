"""Follows a model in both modes; what cannot be traced through becomes one node, with the reason."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import fx, nn

from n2nsurgery.core.errors import TraceError
from n2nsurgery.graph.model_inputs import Region
from n2nsurgery.graph.tracing.leaves import holds_weighted
from n2nsurgery.graph.tracing.tracer import ValueTracer
from n2nsurgery.graph.tracing.weight_uses import Product


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A class of modules that was kept as one node because its forward cannot be followed."""

    class_name: str
    paths: tuple[str, ...]
    reason: str


@dataclass(kw_only=True)
class Followed:
    """What following a model gave: graphs by mode, and why they cannot stand for the model, if so."""

    graphs: dict[bool, fx.Graph] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    uses: dict[str, int] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    unusable: str | None = None
    unfollowed: str | None = None


def follow(root: nn.Module, examples: Mapping[str, Any]) -> Followed:
    """Both modes; a leaf of one is one in both. Where train mode needs leaves with weights inside, eval mode alone."""
    found = Followed()
    try:
        follow_mode(root, examples, found, mode=False)
    except TraceError as error:
        found = Followed(unusable=f"eval mode cannot be followed: {error}")
        try:
            follow_mode(root, examples, found, mode=True)
        except TraceError:
            raise error from error.__cause__
        return found
    both = replace(found, leaves=[*found.leaves], graphs={})
    try:
        follow_mode(root, examples, both, mode=True)
    except TraceError as error:
        return replace(found, unusable=found.unusable or f"train mode cannot be followed: {error}")
    more = both.leaves[len(found.leaves) :]
    hiding = next((leaf for leaf in more if holds_weighted(root.get_submodule(leaf.paths[0]))), None)
    if hiding is not None:
        reason = f"train mode cannot be followed: {hiding.class_name}: {hiding.reason}"
        return replace(found, unusable=found.unusable or reason)
    if more:
        follow_mode(root, examples, both, mode=False)
    else:
        both.graphs[False] = found.graphs[False]
    return both


def follow_mode(
    root: nn.Module, examples: Mapping[str, Any], found: Followed, *, mode: bool, regions: tuple[Region, ...] = ()
) -> None:
    """Add the graph of one mode to `found`, with the leaves that it takes."""
    root.train(mode)
    tracer, found.graphs[mode] = _trace_one(root, examples, found.leaves, regions)
    for name, count in tracer.weight_uses.items():
        found.uses[name] = max(found.uses.get(name, 0), count)
    found.products |= tracer.products
    found.tables |= tracer.tables
    if tracer.lost:
        found.unusable = f"its forward passes on objects that no graph can hold: {', '.join(sorted(tracer.lost))}"


def _trace_one(
    root: nn.Module, examples: Mapping[str, Any], leaves: list[Leaf], regions: tuple[Region, ...]
) -> tuple[ValueTracer, fx.Graph]:
    while True:
        tracer = ValueTracer(examples, frozenset(path for leaf in leaves for path in leaf.paths), regions)
        try:
            return tracer, tracer.trace(root)
        except Exception as error:
            path = tracer.failed_in
            if not path or any(path in leaf.paths for leaf in leaves):
                where = f"{type(root).__name__}{f', module {path!r}' if path else ''}"
                raise TraceError(f"{where} cannot be traced: {error} ({source_line(error)})") from error
            kind = type(root.get_submodule(path))
            same = tuple(name for name, module in root.named_modules() if type(module) is kind)
            leaves.append(Leaf(class_name=kind.__name__, paths=same, reason=f"{error} ({source_line(error)})"))


def source_line(error: BaseException) -> str:
    """`file:line` of the innermost frame that belongs neither to torch nor to the tracer."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [f for f in frames if "/torch/" not in f.filename and "/n2nsurgery/graph/" not in f.filename]
    return f"{foreign[-1].filename}:{foreign[-1].lineno}" if foreign else "no source line"
