"""From an artifact back to the pruned network."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path

from torch import nn

from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.core.outputs import device_of
from n2nsurgery.graph.tracing.trace import Trace, trace
from n2nsurgery.models.catalog import rebuild
from n2nsurgery.models.model_spec import ModelSpec
from n2nsurgery.pipelines.saved.run_folder import content_of
from n2nsurgery.surgery.artifact import Artifact, revive
from n2nsurgery.surgery.example_inputs import zero_inputs
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.pruned_model import PrunedModel

_LOG = logging.getLogger(__name__)


def load(
    folder: str | Path, model: nn.Module | None = None, *, allow_import: bool = False, last: bool = False
) -> PrunedModel:
    """The pruned network of the artifact in `folder`: weights, masks and outputs bit for bit as they were saved.

    `folder` may be that of a training run: its best weights by validation (the newest where nothing was validated), or
    with `last` its newest; averaged where the run kept an average.
    `model`: the dense model (of any weights), needed only where the artifact was made from an object without a name.
    Nothing in the folder can run code; an artifact of a `package.module:factory` model needs `allow_import`, which runs
    that factory. Raises InvalidFileError, naming the file, for anything missing, truncated, altered or newer than this
    version, and where `model` is another one; UsageError or TraceError where it does not even take the same inputs.

        >>> import n2nsurgery
        >>> pruned = n2nsurgery.apply("cifar-tiny-resnet", density=0.1)
        >>> folder = pruned.save("kept")
        >>> n2nsurgery.load(folder).masks == pruned.masks
        True
    """
    return revived(content_of(Path(folder), last=last), model, allow_import=allow_import)


def revived(content: Artifact, model: nn.Module | None = None, *, allow_import: bool = False) -> PrunedModel:
    """The pruned network of an artifact that was read. `model` and errors are those of `load`."""
    if model is None and content.plan.model is None:
        raise UsageError(
            f"'{content.folder}' was made from a {content.plan.model_class} object: pass the dense model, "
            "load(folder, model=...)"
        )
    return revive(content, lambda plan: _dense(plan, model, allow_import))


def _dense(plan: SurgeryPlan, model: nn.Module | None, allow_import: bool) -> Trace | nn.Module:  # noqa: FBT001
    """The dense model for `replay`: its trace, or itself where hooks need no trace and it cannot be traced again."""
    if model is None:
        assert plan.model is not None
        dense = rebuild(ModelSpec.from_text(plan.model), allow_import=allow_import).module
    else:
        dense = model
    device = device_of(dense)
    try:
        return replace(trace(dense, zero_inputs(plan.inputs, device)), inplace=model is None)
    except (TraceError, UsageError) as error:
        if plan.engine.engine != "hooks":
            raise
        _LOG.debug("only the weights of %s are compared with the plan: %s", plan.model_class, error)
        return dense if model is None else copy.deepcopy(dense)
