"""From a traced model to its plan, the engine included, and the comparison that stands before surgery."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tied_storage import require_own_storage
from n2nsurgery.graph.tracing.trace import Trace
from n2nsurgery.masks.criterion import Criterion
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.surgery.engines.choice import plan_with_engine
from n2nsurgery.surgery.engines.gate import require_harmless
from n2nsurgery.surgery.engines.rewritable import require_rewritable
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.contradictions import without_effect
from n2nsurgery.surgery.planning.plan import InputSpec, SurgeryPlan
from n2nsurgery.surgery.planning.planner import PlannedModel, plan_surgery

_LOG = logging.getLogger(__name__)
_FORGOTTEN = (
    "the example has {given}: the network was traced so, but a plan stores tensors alone, and export, verify and report"
    " run forward with its defaults; wrap the model in a module that sets it"
)


def plan_of(
    bundle: ModelBundle, inputs: Mapping[str, Any], traced: Trace, config: SurgeryConfig, criterion: Criterion | None
) -> SurgeryPlan:
    """The plan of `config` for a traced model; `inputs` are its example inputs by name.

    With the engine `hooks`, the traced copy has no weights left afterwards.

    Raises TraceError where a copy is asked for that would not do what the model does, or where skips without weights
    change it, UsageError where weights share memory, and the errors of `plan_surgery`.
    """
    _require_new(bundle, config)
    _require_storable(bundle.module)
    for warning in without_effect(config):
        _LOG.warning("%s", warning)
    if config.engine == "rewrite":
        require_rewritable(bundle.module, traced.module, inputs)
    model = PlannedModel(
        recipe=bundle.spec.to_text() if bundle.spec else None,
        class_name=type(bundle.module).__name__,
        inputs=_input_specs(inputs),
    )
    layers = layer_graph(traced)
    require_own_storage(bundle.module, {weight.name for weight in layers.weights})
    plan = plan_with_engine(
        config.engine,
        traced.module,
        layers,
        lambda graph: plan_surgery(graph, config, model, criterion),
        lambda: require_rewritable(bundle.module, traced.module, inputs),
    )
    if plan.engine.engine == "hooks":
        traced.let_weights_go()
        require_harmless(bundle.module, plan, inputs)
    if given := _settings(bundle.module, inputs):
        plan = replace(plan, warnings=(*plan.warnings, _FORGOTTEN.format(given=listed(given))))
    return plan


def _require_new(bundle: ModelBundle, config: SurgeryConfig) -> None:
    """Raise UsageError for other start values where the model came with weights, as a folder of Transformers does."""
    weights = None if bundle.spec is None else bundle.spec.weights
    if weights is not None and config.start != "dense":
        raise UsageError(
            f"is '{config.start}', which is for new networks and would change the weights of the model ('{weights}'):"
            " leave it out",
            field="start", joint=" ",
        )  # fmt: skip


def _require_storable(module: nn.Module) -> None:
    """Raise UsageError for a state that is no tensor, as `get_extra_state` may give it: no file here can hold it."""
    others = {
        name: type(value).__name__ for name, value in module.state_dict().items() if not isinstance(value, Tensor)
    }
    if others:
        name, kind = next(iter(others.items()))
        path = name.rpartition(".")[0]
        raise UsageError(
            f"'{name}' of {type(module.get_submodule(path)).__name__} is a {kind}, and files hold tensors alone: let"
            " its get_extra_state return a tensor, or take it out"
        )


def _settings(module: nn.Module, inputs: Mapping[str, Any]) -> list[str]:
    """What `inputs` give beside tensors that is not the default of `forward`, as `name=value`."""
    parameters = inspect.signature(module.forward).parameters
    return [
        f"{name}={value!r}"
        for name, value in inputs.items()
        if isinstance(value, bool | int | float | str) and name in parameters and value != parameters[name].default
    ]


def _input_specs(inputs: Mapping[str, Any]) -> tuple[InputSpec, ...]:
    return tuple(
        InputSpec(name=name, shape=tuple(value.shape), dtype=str(value.dtype).removeprefix("torch."))
        for name, value in inputs.items()
        if isinstance(value, Tensor)
    )
