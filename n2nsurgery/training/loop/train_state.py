"""TrainState: everything that moves during a run, built once, captured into a checkpoint and put back from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        steps_per_epoch: int,
        engine: EngineRequest | None = None,
        branches: Sequence[str] = (),
    ) -> None:
        self.config = config
        self.components = components
        original = _placed(module, config, processes)
        self.processes = processes
        own = _enforcer(original, masks)
        processes.broadcast(_tensors(original))
        self._thaw = freeze(original, config.freeze)
        self.engine = Engine() if engine is None else engine.chosen(original, masks)
        self.module = original if self.engine.twin is None else self.engine.twin.module
        self.masked = own if self.engine.twin is None else _enforcer_of_dense(self.module, masks)
        self.moving = self._moving(original, own, Span(steps_per_epoch=steps_per_epoch, epochs=config.epochs))
        self._original, steps = original, steps_per_epoch * config.epochs
        self.fading = FadingBranches(self.module, branches, config.skip_fade, steps) if config.skip_fade else None
        self.optimizer = components.optimizer(self.module)
        self.rates = LearningRates(self.optimizer, config, components, steps_per_epoch)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=config.amp == "fp16")
        self.average = WeightAverage(self.module, config.ema_decay) if config.ema_decay is not None else None
        self.meter = Meter(processes.device, components.measure)
        if components.teacher is not None:
            components.teacher.network.to(processes.device)
        self.recomputation = (
            Recomputation(self.module, config.checkpointed_modules) if config.gradient_checkpointing else None
        )
        compiled: Any = torch.compile(self.module) if config.compile else self.module
        self.network: nn.Module = processes.wrap_ddp(compiled, find_unused=config.find_unused_parameters)

    def _moving(self, original: nn.Module, own: MaskEnforcer, span: Span) -> MovingMasks | None:
        """What moves the masks, None where they stay; `own` are those of the caller's module `original`."""
        dynamics = self.config.dynamics
        if dynamics is None:
            return None
        others = [] if self.module is original else [own, enforcer_of(original)]
        originals = [each for each in others if each is not None]
        seed = self.config.seed
        return MovingMasks(self.module, self.masked, own.masks, dynamics, span, seed=seed, originals=originals)

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
            "optimizer": self._optimizer_state(),
            **({"average": dense_form(self.module, self.average.values)} if self.average is not None else {}),
            **({"rates": rates} if (rates := self.rates.state()) else {}),
            **({MASKS: pack(self.moving.masks)} if self.moving is not None else {}),
            "random": {f"{rank}/{name}": s for name, states in gathered.items() for rank, s in enumerate(states)},
        }

    def load(self, files: SealedFiles, averaged: int | None, scaler: ScalerState | None) -> None:
        """Put back what `tensors` gave; raises InvalidFileError where it is that of another model."""
        if self.moving is not None:
            self.moving.load(unpack(files.tensor_set(MASKS), self.moving.shapes))
        try:
            load_state(self.module, files.tensor_set("model"))
            self._load_optimizer(files.tensor_set("optimizer"))
        except (RuntimeError, KeyError) as error:
            raise InvalidFileError(f"'{files.folder}' holds the state of another model: {error}") from error
        self.masked.clear(self.optimizer)
        if self.rates.state():
            self.rates.load(files.tensor_set("rates"))
        if self.average is not None and averaged is not None:
            self.average.load(kept_form(self.module, files.tensor_set("average")), averaged)
        if scaler is not None and self.scaler.is_enabled():
            moved = {"scale": scaler.scale, "_growth_tracker": scaler.growth}
            self.scaler.load_state_dict({**self.scaler.state_dict(), **moved})
        own = f"{self.processes.rank}/"
        states = {name.removeprefix(own): s for name, s in files.tensor_set("random").items() if name.startswith(own)}
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
        self.network = self.module
        if self.fading is not None:
            self.fading.close(self._original)
        if self.recomputation is not None:
            self.recomputation.close()
        self.write_back()
        self._thaw()

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

    def _optimizer_state(self) -> dict[str, Tensor]:
        """`<parameter>/<key>` -> value, for every parameter that the optimizer has seen.

        torch.distributed.checkpoint.state_dict names values likewise. It takes a step of the optimizer to learn what
        its state looks like, which not every optimizer bears, and it loads momentum in another layout of memory.
        Raises UsageError for a value that is not a tensor: nothing here could write it and read it back safely.
        """
        names, layers = parameter_names(self.module), kept_layers(self.module)
        found: dict[str, Tensor] = {}
        for parameter, state in self.optimizer.state.items():
            name = names[parameter]
            for key, value in state.items():
                if isinstance(value, Tensor):
                    kept = name in layers and value.shape == parameter.shape
                    found[f"{name}/{key}"] = layers[name].spread(value) if kept else value
                elif value is not None:
                    raise UsageError(
                        f"{type(self.optimizer).__name__} keeps '{key}' as {type(value).__name__}, which cannot be "
                        "saved; only optimizers whose state is tensors can be resumed"
                    )
        return found

    def _load_optimizer(self, saved: Mapping[str, Tensor]) -> None:
        """Give every parameter its saved state, laid out in memory like the parameter, as the optimizer would."""
        parameters = {name: parameter for parameter, name in parameter_names(self.module).items()}
        layers = kept_layers(self.module)
        for entry, value in saved.items():
            name, key = entry.rsplit("/", 1)
            parameter = parameters[name]
            if name in layers and value.shape == layers[name].weight_shape:
                self.optimizer.state[parameter][key] = layers[name].gather(value)
            elif value.shape == parameter.shape:
                placed = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
                self.optimizer.state[parameter][key] = placed
            else:  # the step count, where the fused optimizers keep it
                self.optimizer.state[parameter][key] = value.to(parameter.device)


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
