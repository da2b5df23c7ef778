"""Scoring a network without leaving a trace on it.

Forward passes run on stand-ins for the module's tensors (`torch.func.functional_call`): neither weights nor
BatchNorm statistics nor `.grad` are ever written to, so nothing has to be put back that could be forgotten.

A derivative of one mini-batch is a function of (weights, batch, seed, its number) alone: dropout and buffers start anew
for each. So several processes may deal the batches out among themselves. A batch is never divided, for BatchNorm in
train mode looks at all of it; and the derivatives are added in the order of the batches, whoever computed them. The sum
is then that of one process, bit for bit where the processes compute alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map_only

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import arguments, dtypes_explained, modes_kept, primary_output
from n2nsurgery.core.processes.distributed_context import DistributedContext, SingleProcess
from n2nsurgery.core.seeds import derive, torch_generator
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.graph.tracing.side_effects import unchanged
from n2nsurgery.masks.scoring.loss import cross_entropy, left_out, random_labels, scalar_loss
from n2nsurgery.masks.scoring.without_gradient import gradients_required

Mode = Literal["train", "eval", "warm-up"]
MODES: tuple[Mode, ...] = ("train", "eval", "warm-up")
"""`train`: BatchNorm by each batch. `eval`: by its running statistics. `warm-up`: by those of all scoring batches."""
SINGLE_PROCESS = SingleProcess(device=torch.device("cpu"))

ScoringBatch = tuple[tuple[Tensor, ...], Tensor | None]


@dataclass(frozen=True, kw_only=True)
class ScoreContext:
    """What a score may look at.

    `batches` are pairs (inputs, targets); targets None stands for seeded random labels. `input_names`: the arguments of
    forward that the inputs are, where those of a batch are as many; else they are given by position. `loss` maps what
    the module returns and the targets to a scalar. `kept` are the masks of earlier rounds: weights outside them count
    as zero. `processes`: the processes that score together, every one with the same context.
    `remarks`: what the caller is to be told of the scoring, which adds to it.
    """

    module: nn.Module
    weights: tuple[PrunableWeight, ...]
    batches: Sequence[ScoringBatch] = ()
    input_names: tuple[str, ...] = ()
    loss: Callable[[Any, Tensor], Tensor] = cross_entropy
    seed: int = 0
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    processes: DistributedContext = SINGLE_PROCESS
    remarks: set[str] = field(default_factory=set)


def called(context: ScoreContext, tensors: Mapping[str, Tensor], inputs: tuple[Tensor, ...]) -> Any:  # noqa: ANN401
    """What the module returns with `tensors` in place of its own, for the inputs of one batch.

    Raises UsageError where it calls a layer under `torch.no_grad` only, whose weights cannot be scored, and as
    `dtypes_explained`.
    """
    positional: tuple[Any, ...] = inputs
    named: dict[str, Any] = {}
    if len(inputs) == len(context.input_names):
        positional, named = arguments(context.module, dict(zip(context.input_names, inputs, strict=True)))
    names = [weight.name for weight in context.weights]
    with dtypes_explained(context.module, inputs), gradients_required(context.module, names, tensors) as seen:
        output = functional_call(context.module, dict(tensors), positional, named)
        seen(output)
    return output


def weight_values(context: ScoreContext) -> dict[str, Tensor]:
    """The prunable weights by name, detached, with weights pruned in earlier rounds at zero.

    Raises UsageError where the module has no such parameter, or one of another shape.
    """
    parameters = dict(context.module.named_parameters(remove_duplicate=False))
    values: dict[str, Tensor] = {}
    for weight in context.weights:
        parameter = parameters.get(weight.name)
        if parameter is None or tuple(parameter.shape) != weight.shape:
            found = "none" if parameter is None else f"shape {tuple(parameter.shape)}"
            raise UsageError(f"the module's parameter '{weight.name}' should have shape {weight.shape}, found {found}")
        value = parameter.detach()
        mask = context.kept.get(weight.name)
        values[weight.name] = value if mask is None else value.where(mask.to(value.device), 0)
    return values


@contextmanager
def undisturbed(module: nn.Module, *, training: bool, seed: int) -> Iterator[None]:
    """Train or eval mode with gradients on and seeded global generators (dropout).

    All of it is restored afterwards, and what forward has written to attributes.
    """
    devices = {parameter.device for parameter in module.parameters() if parameter.device.type == "cuda"}
    with (
        unchanged(module),
        modes_kept(module),
        torch.random.fork_rng(devices=sorted(devices, key=str)),
        torch.enable_grad(),
    ):
        torch.manual_seed(derive(seed, "scoring"))
        module.train(training)
        yield


def stand_ins(
    module: nn.Module, leaves: Mapping[str, Tensor], change: Callable[[Tensor], Tensor] = Tensor.detach
) -> dict[str, Tensor]:
    """Tensors for `functional_call`: `leaves` for the parameters they name, `change`d ones for all others.

    A parameter shared under several names is replaced under all of them; buffers are copies, free to be written to.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    substitutes = {id(parameter): change(parameter.detach()) for parameter in parameters.values()}
    substitutes |= {id(parameters[name]): leaf for name, leaf in leaves.items()}
    buffers = {name: change(buffer).clone() for name, buffer in module.named_buffers()}
    return {name: substitutes[id(parameter)] for name, parameter in parameters.items()} | buffers


def gradients(value: Tensor, leaves: Sequence[Tensor], *, again: bool = False) -> list[Tensor]:
    """The gradient of a scalar by each of `leaves`, zero where it does not depend on one; `again`: differentiable."""
    found = torch.autograd.grad(value, leaves, create_graph=again, allow_unused=True, materialize_grads=True)
    return list(found)


def over_batches(
    context: ScoreContext,
    values: Mapping[str, Tensor],
    derivative: Callable[[Tensor], list[Tensor]],
    *,
    mode: Mode = "train",
    temperature: float = 1.0,
) -> list[Tensor]:
    """The sum over the batches of `derivative(loss)`: a tensor for each of `values`, which stand for their parameters.

    A loss is that of one batch divided by their number, of outputs / `temperature`, in one of MODES. Every process gets
    the sum. Raises UsageError where there is no batch, or a loss is not finite.
    """
    count, processes = len(context.batches), context.processes
    if not count:
        raise UsageError("this criterion scores weights by data, and was given none: pass at least one batch")
    warmed = batch_statistics(context, values) if mode == "warm-up" else {}
    sums = [torch.zeros_like(value) for value in values.values()]
    for first in range(0, count, processes.size):
        own = first + processes.rank
        found: list[Tensor] = []
        if own < count:
            tensors = stand_ins(context.module, values) | {name: value.clone() for name, value in warmed.items()}
            with undisturbed(context.module, training=mode == "train", seed=derive(context.seed, "batch", str(own))):
                found = derivative(loss_of_batch(context, tensors, own, temperature))
        for source in range(min(processes.size, count - first)):
            parts = found if source == processes.rank else [torch.empty_like(total) for total in sums]
            processes.broadcast(parts, source)
            for total, part in zip(sums, parts, strict=True):
                total.add_(part)
    return sums


def batch_statistics(context: ScoreContext, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The running statistics that BatchNorm has after the scoring batches, with `values` for their parameters.

    By the names of the buffers; empty without BatchNorm. Mean and variance are the averages over the batches. All other
    layers are in eval mode, as they are when scores are computed with these statistics. Every process goes through all
    batches, so that all have the same. Source of the idea: arXiv 2502.11450, BatchNorm warm-up before pruning.
    """
    norms = {
        name: norm
        for name, norm in context.module.named_modules()
        if isinstance(norm, _BatchNorm) and norm.running_mean is not None
    }
    names = {f"{name}.{each}".removeprefix(".") for name in norms for each in ("running_mean", "running_var")}
    momenta = [norm.momentum for norm in norms.values()]
    tensors = stand_ins(context.module, {name: value.detach() for name, value in values.items()})
    for name in norms:
        tensors[f"{name}.num_batches_tracked".removeprefix(".")].zero_()
    device = next(iter(tensors.values())).device
    with undisturbed(context.module, training=False, seed=context.seed), torch.no_grad():
        try:
            for norm in norms.values():
                norm.train()
                norm.momentum = None  # of torch's BatchNorm: the plain average over the batches seen
            for inputs, _ in context.batches if norms else ():
                called(context, tensors, tuple(value.to(device) for value in inputs))
        finally:
            for norm, momentum in zip(norms.values(), momenta, strict=True):
                norm.momentum = momentum
    return {name: tensors[name] for name in sorted(names)}


def loss_of_batch(context: ScoreContext, tensors: Mapping[str, Tensor], index: int, temperature: float = 1.0) -> Tensor:
    """The loss of batch `index`, computed with `tensors`, divided by the number of batches: together they are the mean.

    Raises UsageError where it is no finite scalar with a gradient.
    """
    inputs, targets = context.batches[index]
    device = next(iter(tensors.values())).device
    output = called(context, tensors, tuple(value.to(device) for value in inputs))
    if targets is None:
        targets = random_labels(primary_output(output), torch_generator(context.seed, "labels", str(index)))
    if context.loss is cross_entropy and (sentence := left_out(output)):
        context.remarks.add(sentence)
    cooled = output if temperature == 1 else _divided(output, temperature)
    return scalar_loss(context.loss, cooled, targets.to(device), tensors.values()) / len(context.batches)


def _divided(output: Any, temperature: float) -> Any:  # noqa: ANN401 - whatever the module returns
    """`output` with all tensors that have a gradient divided; UsageError for a class in which torch finds none."""
    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(output)):
        raise UsageError(f"the model returns {type(output).__name__}, whose tensors no temperature can divide")
    return tree_map_only(Tensor, lambda each: each / temperature if each.requires_grad else each, output)
