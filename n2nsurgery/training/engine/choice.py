"""What a run computes with: the module as it is (dense), or a twin that computes kept weights alone (sparse).

Whoever starts a run hands in the function that makes twins (`pipelines.sparse_twins`). With `auto`, a run on a CPU
takes the sparse engine where it is predicted to be faster and nothing speaks against it. It chooses anew after an epoch
in which layers have lost or won weights. A resumed run goes on with the layers that it was begun with.
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
from n2nsurgery.training.schedules import Span


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
    `example`: the inputs of one batch; without one, layers are chosen by their density. `span` of the run, of which
    `step` steps are done: whether rules that move weights go on.
    """

    config: TrainConfig
    processes: DistributedContext
    make: TwinMaker | None
    pruned: bool
    foreign_optimizer: bool
    example: Any = None
    saved: EngineRecord | None = None
    span: Span | None = None
    step: int = 0

    def chosen(self, module: nn.Module, masks: Mapping[str, Tensor], *, former: EngineRecord | None = None) -> Engine:
        """The engine for `module`; raises UsageError where `sparse` was asked for and cannot be.

        `former`: that of until now. While numbers of weights still change, a gain is measured for others than it alone.
        """
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
            return self._dense("no pruned layer would be faster if computed sparsely", masks)
        predicted = twin.predicted_gain if self._begun is None else self._begun.use.predicted_gain
        use = EngineUse(name="sparse", sparse_layers=len(twin.layers), layers=len(masks), predicted_gain=predicted)
        record = EngineRecord(use=use, reason=self._how(), sparse=twin.layers)
        same = former is not None and former.sparse == record.sparse and self._numbers_change
        gain = None if self.example is None or same else measured_gain(module, twin.module, self.example)
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

    def is_asked_again(self) -> bool:
        """Whether layers keep other numbers of weights than an epoch ago, so that another engine may be faster now."""
        if self.config.engine != "auto" or self.span is None:
            return False
        return self._changes_numbers_within(max(0, self.step - self.span.steps_per_epoch), self.step)

    @property
    def _numbers_change(self) -> bool:
        """Whether layers keep other numbers of weights from some later step on."""
        return self._changes_numbers_within(self.step, self.step + 1 if self.span is None else self.span.steps)

    def _changes_numbers_within(self, first: int, last: int) -> bool:
        """Whether the rule changes how many weights a layer keeps after one of the steps first + 1 to last."""
        rule = None if self.config.dynamics is None else self.config.dynamics.rule()
        if rule is None or rule.keeps_counts:
            return False
        span = self.span
        return span is None or any(rule.is_due(step, span) for step in range(first + 1, last + 1))

    def _unserved_dynamics(self) -> dict[str, bool]:
        """What speaks against the sparse engine in the rule that moves masks, and whether it does."""
        name = None if self.config.dynamics is None else self.config.dynamics.name
        reason = f"dynamics {name} still changes how many weights a layer keeps, which needs a single process"
        return {reason: self.processes.size > 1 and self._numbers_change}

    @property
    def _full_gradients(self) -> float:
        """The part of the steps that take the gradients of all weights."""
        rule = None if self.config.dynamics is None else self.config.dynamics.rule()
        if rule is None or rule.needs != "gradients" or self.span is None:
            return 0.0
        return sum(rule.is_due(step, self.span) for step in range(1, self.span.steps + 1)) / self.span.steps

    @property
    def _begun(self) -> EngineRecord | None:
        """The engine that a sparse run goes on with."""
        return self.saved if self.saved is not None and self.saved.is_sparse else None

    def _twin(self, module: nn.Module, masks: Mapping[str, Tensor]) -> SparseTwin:
        """The twin; where choices are measured by several processes, those of process 0."""
        assert self.make is not None
        rule: Literal["auto", "all"] = "all" if self.config.engine == "sparse" else "auto"
        layers = rule if self._begun is None else self._begun.sparse
        request = TwinRequest(
            example=self.example,
            layers=layers,
            measure=self.config.measure_engine,
            full_gradients=self._full_gradients,
        )
        twin = self.make(module, masks, request)
        if self.processes.size == 1 or not self.config.measure_engine:
            return twin
        names = [name.removesuffix(".weight") for name in masks]
        flags = torch.tensor([name in twin.layers for name in names], dtype=torch.uint8)  # gloo has no booleans
        self.processes.broadcast([flags])
        agreed = tuple(name for name, flag in zip(names, flags.tolist(), strict=True) if flag)
        return twin if agreed == twin.layers else self.make(module, masks, TwinRequest(layers=agreed))

    def _how(self) -> str:
        if self._begun is not None:
            return "as the run was begun"
        if self.config.engine == "sparse":
            return "asked for"
        how = "measured" if self.config.measure_engine else "predicted"
        return f"{how} after step {self.step:,}" if self.step else how

    def _dense(self, reason: str, masks: Mapping[str, Tensor]) -> Engine:
        return Engine(record=EngineRecord(use=EngineUse(layers=len(masks)), reason=reason))
