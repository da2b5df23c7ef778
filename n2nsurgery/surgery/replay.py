"""Replay: rebuild a pruned network from its plan, masks and tensors; no data, no score, no draw."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.graft import graft
from n2nsurgery.surgery.mask_enforcer import apply_masks
from n2nsurgery.surgery.planning.foreign import require_kinds
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.proof import prove_counts
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.record import SurgeryRecord

_LOG = logging.getLogger(__name__)


def replay(
    trace: Trace, plan: SurgeryPlan, record: SurgeryRecord, masks: MaskSet, state: Mapping[str, Tensor]
) -> PrunedModel:
    """The network of `plan` on the traced dense model, with the weights of `state`; in place.

    The dense model's own weights do not matter. Raises InvalidFileError where the model, the masks or the weights are
    not those of the plan, listing what does not fit.
    """
    if record.plan != plan.fingerprint or record.masks != masks.fingerprint:
        raise InvalidFileError("plan, record and masks do not belong together: their fingerprints differ")
    _require_same_model(trace, plan)
    require_kinds(plan.skips, dict(record.versions))
    graft(trace.module, plan.skips)
    _load(trace.module, state)
    apply_masks(trace.module, masks)
    prove_counts(trace.module, masks, plan)
    return PrunedModel(module=trace.module, masks=masks, plan=plan, record=record)


def _require_same_model(trace: Trace, plan: SurgeryPlan) -> None:
    """The same weights, and the same structure or at least, wherever a skip runs, the same pair."""
    graph = layer_graph(trace)
    wrong = sorted({(w.name, w.shape) for w in plan.weights} ^ {(w.name, w.shape) for w in graph.weights})
    moved = [skip.pair for skip in plan.skips if graph.structure != plan.structure and skip.pair not in graph.pairs]
    if wrong or moved:
        details = [f"weight {name} {shape}" for name, shape in wrong]
        details += [f"skip {pair.source} -> {pair.target}" for pair in moved]
        raise InvalidFileError(f"this model is not the one that was pruned: {'; '.join(details[:10])}")
    if graph.structure != plan.structure:
        _LOG.warning(
            "the model has the weights and pairs of the plan, but not its graph: it may compute something else"
        )


def _load(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise InvalidFileError(f"the stored weights do not fit the model: {error}") from error
