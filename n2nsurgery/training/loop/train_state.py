"""TrainState: everything that moves during a run, built once, captured into a checkpoint and put back from one."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import InvalidFileError, RunError, UsageError
from n2nsurgery.core.outputs import load_state
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.core.sealed_folder import SealedFiles
from n2nsurgery.masks.attachment import enforcer_of
from n2nsurgery.masks.enforcer import MaskEnforcer
from n2nsurgery.masks.kept_values import dense_form, kept_form, kept_layers, parameter_names
from n2nsurgery.masks.store import pack, unpack
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.dynamics import DynamicsConfig
from n2nsurgery.training.engine.choice import Engine, EngineRequest
from n2nsurgery.training.loop.components import Components
from n2nsurgery.training.loop.freezing import enter_train_mode, freeze
from n2nsurgery.training.loop.rates import LearningRates
from n2nsurgery.training.loop.recomputation import Recomputation
from n2nsurgery.training.metrics.meter import Meter
from n2nsurgery.training.schedules import Span
from n2nsurgery.training.state.average import WeightAverage
from n2nsurgery.training.state.checkpoints import MASKS
from n2nsurgery.training.state.fading_branches import FadingBranches
from n2nsurgery.training.state.moving_masks import MovingMasks
from n2nsurgery.training.state.optimizer_state import load_optimizer_state, optimizer_state
from n2nsurgery.training.state.randomness import random_state, restore_random_state
from n2nsurgery.training.state.saved_state import ScalerState


class TrainState:
    """`module`: the caller's or its sparse twin, with clean names; `network`: the same, compiled and wrapped.

    The optimizer, gradients, their norm and the average see kept values alone where the engine is sparse; checkpoints
    hold dense weights with zeros under either engine.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a run is made of
        self,
        module: nn.Module,
        config: TrainConfig,
        components: Components,
        processes: DistributedContext,
        masks: Mapping[str, Tensor],
        span: Span,
        engine: EngineRequest | None = None,
        branches: Sequence[str] = (),
        present: Mapping[str, Tensor] | None = None,
    ) -> None:
        """`masks`: those that the run began with; `present`: those of now where it has moved them since."""
        self.config = config
        self.components = components
        self._original = _placed(module, config, processes)
        self.processes = processes
        self._own = _enforcer(self._original, masks)
        self._start = sum(int(mask.count_nonzero()) for mask in masks.values())
        if present is not None:
            self._own.replace(present)
        processes.broadcast(_tensors(self._original))
        self._span, self._branches = span, branches
        self.meter = Meter(processes.device, components.measure)
        if components.teacher is not None:
            components.teacher.network.to(processes.device)
        self.fading: FadingBranches | None = None
        self.recomputation: Recomputation | None = None
        self._thaw = freeze(self._original, config.freeze)
        try:
            self._take_up(Engine() if engine is None else engine.chosen(self._original, self._own.masks))
        except BaseException:
            self._take_off()
            self._thaw()
            raise

    def _take_up(self, engine: Engine) -> None:
        """Make everything that depends on which module is trained, as it is before the first step."""
        self.engine, config, span = engine, self.config, self._span
        self.module = self._original if engine.twin is None else engine.twin.module
        self.masked = self._own if engine.twin is None else _enforcer_of_dense(self.module, self._own.masks)
        self.moving = None if config.dynamics is None else self._moving(config.dynamics)
        fade = config.skip_fade
        self.fading = FadingBranches(self.module, self._branches, fade, span.steps) if fade is not None else None
        self.optimizer = self.components.optimizer(self.module)
        self.rates = LearningRates(self.optimizer, config, self.components, span.steps_per_epoch)
        self.scaler = torch.amp.GradScaler(self.processes.device.type, enabled=config.amp == "fp16")
        self.average = WeightAverage(self.module, config.ema_decay) if config.ema_decay is not None else None
        self.recomputation = (
            Recomputation(self.module, config.checkpointed_modules) if config.gradient_checkpointing else None
        )
        compiled: Any = torch.compile(self.module) if config.compile else self.module
        self.network: nn.Module = self.processes.wrap_ddp(compiled, find_unused=config.find_unused_parameters)

    def _moving(self, dynamics: DynamicsConfig) -> MovingMasks:
        others = [] if self.module is self._original else [self._own, enforcer_of(self._original)]
        return MovingMasks(
            self.module,
            self.masked,
            self._own.masks,
            dynamics,
            self._span,
            start=self._start,
            seed=self.config.seed,
            originals=[each for each in others if each is not None],
        )

    def choose_engine(self, request: EngineRequest) -> bool:
        """Choose the engine anew, for the masks of now; returns whether the run goes on with another one.

        It then goes on from the same state, with sums rounded otherwise.
        """
        self.write_back()
        former = self.engine
        engine = request.chosen(self._original, self._own.masks, former=former.record)
        if engine.record.sparse == former.record.sparse:
            gain = former.measured_gain if engine.measured_gain is None else engine.measured_gain
            self.engine = replace(former, record=engine.record, measured_gain=gain)
            return False
        tensors, scaler = self.tensors(), self.scaler_state()
        averaged = None if self.average is None else self.average.updates
        self._let_go()
        self._take_up(engine)
        self._put_back(tensors, averaged, scaler)
        return True

    def require_gradients(self) -> None:
        """Return where the last step gave every trainable parameter a gradient, or several processes need not care.

        Raises RunError: without `find_unused_parameters` they would wait for the gradients that never come.
        """
        if self.processes.size == 1 or self.config.find_unused_parameters:
            return
        unused = [name for p, name in parameter_names(self.module).items() if p.requires_grad and p.grad is None]
        if unused:
            raise RunError(
                f"{len(unused)} parameters got no gradient in the first step, '{unused[0]}' among them, and several "
                "processes wait for the gradient of each: freeze them, or set train.find_unused_parameters"
            )

    def require_sound(self, step: int) -> None:
        """Return where the state deserves to be kept: every weight is finite, every pruned one zero.

        Raises RunError or VerificationError.
        """
        self.meter.require_finite()
        for parameter, name in parameter_names(self.module).items():
            if not bool(torch.isfinite(parameter).all()):
                raise RunError(
                    f"'{name}' is no longer finite after step {step:,}; a lower learning rate or clip_norm may help"
                )
        self.masked.require_zero(self.optimizer, average=self.average.values if self.average is not None else None)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of a checkpoint; called by every process, for each has random states of its own."""
        gathered = {
            name: self.processes.all_gather(state) for name, state in random_state(self.processes.device).items()
        }
        return {
            "model": self._model_state(),
            "optimizer": optimizer_state(self.optimizer, self.module),
            **({"average": dense_form(self.module, self.average.values)} if self.average is not None else {}),
            **({"rates": rates} if (rates := self.rates.state()) else {}),
            **({MASKS: pack(self.moving.masks)} if self.moving is not None else {}),
            "random": {f"{rank}/{name}": s for name, states in gathered.items() for rank, s in enumerate(states)},
        }

    def load(self, files: SealedFiles, averaged: int | None, scaler: ScalerState | None) -> None:
        """Put back what `tensors` gave; raises InvalidFileError where it is that of another model."""
        try:
            self._put_back(files.tensors, averaged, scaler)
        except (RuntimeError, KeyError) as error:
            raise InvalidFileError(f"'{files.folder}' holds the state of another model: {error}") from error

    def _put_back(
        self, tensors: Mapping[str, Mapping[str, Tensor]], averaged: int | None, scaler: ScalerState | None
    ) -> None:
        """The same from the tensors themselves; raises RuntimeError or KeyError for those of another model."""
        if self.moving is not None:
            self.moving.load(unpack(tensors[MASKS], self.moving.shapes))
        load_state(self.module, tensors["model"])
        load_optimizer_state(tensors["optimizer"], self.optimizer, self.module)
        self.masked.clear(self.optimizer)
        self.rates.load(tensors.get("rates", {}))
        if self.average is not None and averaged is not None:
            self.average.load(kept_form(self.module, tensors["average"]), averaged)
        if scaler is not None and self.scaler.is_enabled():
            moved = {"scale": scaler.scale, "_growth_tracker": scaler.growth}
            self.scaler.load_state_dict({**self.scaler.state_dict(), **moved})
        own = f"{self.processes.rank}/"
        states = {name.removeprefix(own): s for name, s in tensors["random"].items() if name.startswith(own)}
        if states:  # a process more than there were goes on with the stream that it has
            restore_random_state(states, self.processes.device)

    def scaler_state(self) -> ScalerState | None:
        """The gradient scaler's numbers, None where there is none."""
        if not self.scaler.is_enabled():
            return None
        state = self.scaler.state_dict()
        return ScalerState(scale=float(state["scale"]), growth=int(state["_growth_tracker"]))

    def close(self) -> None:
        """Let go of the wrappers, one of which must not outlive the group of processes, and thaw what was frozen.

        The caller's module has the weights of the last step from now on.
        """
        try:
            self._let_go()
            if self.fading is not None:
                self.fading.settle(self._original)
            self.write_back()
        finally:
            self._thaw()

    def _let_go(self) -> None:
        """Take everything of ours off the module that is trained."""
        self.network = self.module
        if self.processes.size > 1:
            gc.collect()  # the hooks of a wrapper go with it, and it is part of cycles
        self._take_off()

    def _take_off(self) -> None:
        """Take the hooks of ours off the module that is trained."""
        if self.fading is not None:
            self.fading.close()
        if self.recomputation is not None:
            self.recomputation.close()

    def is_final(self, step: int) -> bool:
        """Whether the network after `step` steps is what the run is for: masks of the final number, no skip fading."""
        return (self.moving is None or self.moving.is_final(step)) and (self.fading is None or self.fading.are_gone)

    def write_back(self) -> None:
        """Give the caller's module the weights as they are now, where a twin is trained in its place."""
        if self.engine.twin is not None:
            if self.moving is not None:
                self.moving.settle()
            self.engine.twin.write_back()

    def _model_state(self) -> dict[str, Tensor]:
        state: dict[str, Any] = self.module.state_dict()
        strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
        if strange:
            raise UsageError(f"the model's state holds values that are not tensors and cannot be saved: {strange}")
        return state


def _placed(module: nn.Module, config: TrainConfig, processes: DistributedContext) -> nn.Module:
    if config.sync_batch_norm and processes.size > 1:
        if processes.device.type != "cuda":
            raise UsageError(
                f"sync_batch_norm is true and the device is {processes.device}; torch has it for CUDA alone"
            )
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    enter_train_mode(module)
    module.to(processes.device)
    if config.channels_last:
        module.to(memory_format=torch.channels_last)
    return module


def _enforcer(module: nn.Module, masks: Mapping[str, Tensor]) -> MaskEnforcer:
    """The enforcer that the module has of these masks, laid out as the weights are now; or else a new one."""
    own = enforcer_of(module)
    if own is None or own.masks is not masks:
        return MaskEnforcer(module, masks, hooks=False)
    own.bind(module)
    return own


def _enforcer_of_dense(twin: nn.Module, masks: Mapping[str, Tensor]) -> MaskEnforcer:
    """An enforcer of the masks whose weights `twin` holds whole."""
    kept = kept_layers(twin)
    return MaskEnforcer(twin, {name: mask for name, mask in masks.items() if name not in kept}, hooks=False)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
