"""Replay: rebuild a pruned network from its plan, masks and tensors; no data, no score, no draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.names import listed
from n2nsurgery.core.outputs import load_state
from n2nsurgery.graph.layers.layer_graph import LayerPair
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.graph.used_weight import keep_zeros
from n2nsurgery.masks.attachment import apply_masks
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.engines.attach import attach_skips
from n2nsurgery.surgery.engines.carry_out import add_skips
from n2nsurgery.surgery.planning.foreign import require_kinds
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.proof import leaked, prove_counts
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import SurgeryRecord, versions_in_use

_LISTED = 10


def replay(
    dense: Trace | nn.Module, plan: SurgeryPlan, record: SurgeryRecord, masks: MaskSet, state: Mapping[str, Tensor]
) -> PrunedModel:
    """The network of `plan` on the dense model, with the weights of `state`; in place.

    `dense`: its trace, by which it is compared with the plan. Where it cannot be traced and the plan's engine is
    `hooks`, the model itself: then only its weights are compared. The dense model's own weights do not matter. Raises
    InvalidFileError where the model, the masks or the weights are not those of the plan, listing what does not fit.
    """
    if record.plan != plan.fingerprint or record.masks != masks.fingerprint:
        raise InvalidFileError("plan, record and masks do not belong together: their fingerprints differ")
    require_kinds(plan.skips, dict(record.versions))
    if isinstance(dense, Trace):
        _require_same_model(dense, plan, record)
        module = add_skips(dense, plan)
    else:
        _require_same_weights(plan, {name: tuple(value.shape) for name, value in dense.named_parameters()})
        keep_zeros(dense)
        attach_skips(dense, plan.skips, plan.engine.routes)
        module = dense
    _load(module, state)
    if leaks := leaked(module, masks):
        raise InvalidFileError(f"{sum(leaks.values()):,} stored weights of {listed(list(leaks))} lie outside the masks")
    apply_masks(module, masks)
    prove_counts(module, masks, plan)
    return PrunedModel(module=module, masks=masks, plan=plan, record=record)


def _require_same_weights(plan: SurgeryPlan, shapes: Mapping[str, tuple[int, ...]]) -> None:
    wrong = [f"weight {w.name} {w.shape}" for w in plan.weights if shapes.get(w.name) != w.shape]
    if wrong:
        raise InvalidFileError(f"this model is not the one that was pruned: {'; '.join(wrong[:_LISTED])}")


def _require_same_model(trace: Trace, plan: SurgeryPlan, record: SurgeryRecord) -> None:
    """Return where the model has the graph of the plan, so that it computes the same; else name what differs.

    Which weights are prunable, and where skips have their places, may have been decided otherwise by the version that
    made the plan. In an equal graph its weights and the ends of its skips need only be there.
    """
    graph = layer_graph(trace)
    same = graph.structure == plan.structure
    known = {(name, tuple(value.shape)) for name, value in trace.module.named_parameters()}
    names = {weight.name for weight in plan.weights}
    stored = {(weight.name, weight.shape) for weight in plan.weights}
    found = {each for each in known if each[0] in names} if same else {(w.name, w.shape) for w in graph.weights}
    differences = [f"weight {name} {shape}" for name, shape in sorted(stored ^ found)]
    pairs = [skip.pair for skip in plan.skips]
    shapes = _shapes(trace) if same else {}
    lost = [pair for pair in pairs if not (_has_ends(shapes, pair) if same else pair in graph.pairs)]
    differences += [f"skip {pair.source} -> {pair.target}" for pair in lost]
    if differences:
        raise InvalidFileError(f"this model is not the one that was pruned: {'; '.join(differences[:_LISTED])}")
    if not same:
        raise InvalidFileError(
            "this model has the weights of the one that was pruned, but not its graph: between its layers other "
            f"operations run, or in another order, so it would compute something else{_changed(record)}. Give the "
            "model whose code was pruned"
        )


def _shapes(trace: Trace) -> dict[str, Any]:
    """The shapes of the values of the graphs, by address."""
    nodes = (node for graph in trace.module.n2n_graphs for node in graph.nodes)
    return {node.meta.get("address"): node.meta["shapes"] for node in nodes}


def _has_ends(shapes: Mapping[str, Any], pair: LayerPair) -> bool:
    """Whether there are values of the shapes that the skip starts and ends with, at their addresses."""
    ends = (pair.source_signal, pair.target_signal)
    return all(shapes.get(end.address) and shapes[end.address][0][1:] == end.shape for end in ends)


def _changed(record: SurgeryRecord) -> str:
    """The packages that had another version then, in brackets; empty where none had."""
    then = dict(record.versions)
    changed = [f"{name} {then[name]} then, {now} now" for name, now in versions_in_use() if then.get(name, now) != now]
    return f" ({'; '.join(changed)})" if changed else ""


def _load(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    try:
        load_state(module, state)
    except RuntimeError as error:
        raise InvalidFileError(f"the stored weights do not fit the model: {error}") from error
