"""What a run computes with: the module as it is (dense), or a twin that computes kept weights alone (sparse).

Whoever starts a run hands in the function that makes twins (`pipelines.sparse_twins`). With `auto`, a run on a CPU
takes the sparse engine where it is predicted to be faster and nothing speaks against it. A resumed run goes on with the
layers that it was begun with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import N2NSurgeryError, UsageError
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.data.torch_data.sample_randomness import generators_restored
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.engine.gain import measured_gain
from n2nsurgery.training.engine.record import EngineRecord, EngineUse
from n2nsurgery.training.engine.twin import SparseTwin, TwinMaker, TwinRequest


@dataclass(frozen=True, kw_only=True, eq=False)
class Engine:
    """What is recorded, the twin of a sparse run, and how many times as fast as dense it was just now."""

    record: EngineRecord = field(default_factory=EngineRecord)
    twin: SparseTwin | None = None
    measured_gain: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineRequest:
    """What the choice depends on. `saved`: the engine of the run that is gone on with.

    `pruned`: whether there are masks. `foreign_optimizer`: whether it may move zeros, or look at a weight's shape.
    `example`: the inputs of one batch; without one, layers are chosen by their density.
    """

    config: TrainConfig
    processes: DistributedContext
    make: TwinMaker | None
    pruned: bool
    foreign_optimizer: bool
    example: Any = None
    saved: EngineRecord | None = None

    def chosen(self, module: nn.Module, masks: Mapping[str, Tensor]) -> Engine:
        """The engine for `module`; raises UsageError where `sparse` was asked for and cannot be."""
        reason = self.refusal()
        if reason is not None:
            return self._dense(reason, masks)
        try:
            with generators_restored():
                twin = self._twin(module, masks)
        except N2NSurgeryError as error:
            if self.config.engine == "sparse":
                raise
            return self._dense(str(error), masks)
        if not twin.layers:
            return self._dense("no pruned layer can be sparse and faster for it", masks)
        use = EngineUse(
            name="sparse", sparse_layers=len(twin.layers), layers=len(masks), predicted_gain=twin.predicted_gain
        )
        record = EngineRecord(use=use, reason=self._how(), sparse=twin.layers)
        gain = None if self.example is None else measured_gain(module, twin.module, self.example)
        return Engine(record=record, twin=twin, measured_gain=gain)

    def refusal(self) -> str | None:
        """Why this run is dense before any layer is looked at; raises UsageError where that contradicts the config."""
        config = self.config
        if config.engine == "dense":
            return "asked for"
        impossible = {
            "nothing is pruned": not self.pruned,
            f"the device is {self.processes.device}, and the sparse kernels are a CPU's": (
                self.processes.device.type != "cpu"
            ),
            "there is no sparse engine here": self.make is None,
            **self._unserved_dynamics(),
        }
        reason = next((reason for reason, holds in impossible.items() if holds), None)
        if config.engine == "sparse":
            if reason is not None:
                raise UsageError(f"is 'sparse', and {reason}: leave it out, or set dense", field="engine", joint=" ")
            return None
        unsuited = {
            "it is compiled": config.compile,
            f"amp is {config.amp}, and sparse layers compute in float32": config.amp != "off",
            "the optimizer is not one of ours and may mix weights; set engine: sparse where it does not": (
                self.foreign_optimizer
            ),
            "the run was begun dense; set engine: sparse to go on otherwise": (
                self.saved is not None and not self.saved.is_sparse
            ),
        }
        return reason or next((reason for reason, holds in unsuited.items() if holds), None)

    def _unserved_dynamics(self) -> dict[str, bool]:
        """What speaks against the sparse engine in the rule that moves masks, and whether it does."""
        dynamics = self.config.dynamics
        if dynamics is None:
            return {}
        rule = dynamics.rule()
        return {
            f"dynamics {dynamics.name} needs the gradients of all weights": rule.needs == "gradients",
            f"dynamics {dynamics.name} changes how many weights a layer keeps": not rule.keeps_counts,
        }

    def _twin(self, module: nn.Module, masks: Mapping[str, Tensor]) -> SparseTwin:
        """The twin; where choices are measured by several processes, those of process 0."""
        assert self.make is not None
        begun = self.saved is not None and self.saved.is_sparse
        rule: Literal["auto", "all"] = "all" if self.config.engine == "sparse" else "auto"
        layers = self.saved.sparse if self.saved is not None and begun else rule
        twin = self.make(
            module, masks, TwinRequest(example=self.example, layers=layers, measure=self.config.measure_engine)
        )
        if self.processes.size == 1 or not self.config.measure_engine:
            return twin
        names = [name.removesuffix(".weight") for name in masks]
        flags = torch.tensor([name in twin.layers for name in names], dtype=torch.uint8)  # gloo has no booleans
        self.processes.broadcast([flags])
        agreed = tuple(name for name, flag in zip(names, flags.tolist(), strict=True) if flag)
        return twin if agreed == twin.layers else self.make(module, masks, TwinRequest(layers=agreed))

    def _how(self) -> str:
        if self.saved is not None and self.saved.is_sparse:
            return "as the run was begun"
        if self.config.engine == "sparse":
            return "asked for"
        return "measured" if self.config.measure_engine else "predicted"

    def _dense(self, reason: str, masks: Mapping[str, Tensor]) -> Engine:
        return Engine(record=EngineRecord(use=EngineUse(layers=len(masks)), reason=reason))
