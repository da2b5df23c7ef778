"""The channels of a torch module, as a ChannelNetwork."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from n2nsurgery.core.errors import TraceError
from n2nsurgery.core.outputs import evaluation_mode
from n2nsurgery.graph.channels.flow import ChannelNetwork, Skip
from n2nsurgery.graph.channels.following import follow
from n2nsurgery.graph.channels.from_torch.recording import RECORDERS
from n2nsurgery.graph.channels.from_torch.tape import COMPUTED, Tape
from n2nsurgery.graph.channels.steps import Input, Program
from n2nsurgery.graph.tracing.following.follow import source_line
from n2nsurgery.graph.tracing.side_effects import draws_undone, unchanged

_LOG = logging.getLogger(__name__)
BATCH = 2
"""Samples of the recorded run: with one, `squeeze` would take the batch for a dimension to drop."""


def channel_network(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    masks: Mapping[str, Tensor] | None = None,
    skips: Sequence[Skip] = (),
) -> ChannelNetwork:
    """The channels of `module` in eval mode, its weights and BatchNorm factors; the module stays as it is.

    `inputs`: example inputs by argument name, batch first; their shapes and types count. `masks` by parameter name.
    Raises TraceError where the module cannot be run, UsageError where it has no weighted layer.
    """
    program, weights = record(module, inputs)
    flow, scales = follow(program)
    used = {call.weight for call in flow.calls}
    arrays = {name: _array(weight) for name, weight in weights.items() if name in used}
    kept = {name: mask.cpu().numpy() for name, mask in (masks or {}).items() if name in used}
    computed = {name: array != 0 for name, array in arrays.items() if masks and name.endswith(COMPUTED)}
    return ChannelNetwork(
        flow=dataclasses.replace(flow, skips=tuple(skips)),
        weights=arrays,
        masks=kept | computed,
        scales=scales,
        notes=tuple(
            f"'{name}' is computed from a weight; it counts as kept where it is not zero." for name in computed
        ),
    )


def record(module: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Program, dict[str, Tensor]]:
    """What `module` does in eval mode, and the weights of its layers by name."""
    try:
        return _recorded(module, inputs, FakeTensorMode(allow_non_fake_inputs=True))
    except RuntimeError as without_data:  # what torch raises where a module looks at its data
        _LOG.debug("%s is run on data: %s", type(module).__name__, without_data)
    except Exception as error:
        raise _unusable(module, error) from error
    try:
        return _recorded(module, inputs, None)
    except Exception as error:
        raise _unusable(module, error) from error


def _unusable(module: nn.Module, error: Exception) -> TraceError:
    name = type(module).__name__
    return TraceError(f"{name} cannot be run on a batch of {BATCH}: {error} ({source_line(error)})")


def _recorded(
    module: nn.Module, inputs: Mapping[str, Tensor], without_data: FakeTensorMode | None
) -> tuple[Program, dict[str, Tensor]]:
    named = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    tape = Tape(named, RECORDERS)
    with _running(module), without_data or torch.no_grad():
        given = {name: _sample(value) for name, value in inputs.items()}
        entries = tuple(
            Input(value=tape.value(v), name=n, shape=tuple(v.shape), indices=not v.is_floating_point())
            for n, v in given.items()
            if isinstance(v, Tensor)
        )
        with tape:
            returned = module(**given)
    outputs = (tape.known(tensor) for tensor in _tensors(returned))
    kept = tuple(dict.fromkeys(value for value in outputs if value is not None))
    return Program(inputs=entries, steps=tuple(tape.steps), outputs=kept), tape.weights


@contextmanager
def _running(module: nn.Module) -> Iterator[None]:
    """Within, `module` is in eval mode; afterwards it, its buffers and the random generators are as before."""
    with evaluation_mode(module), unchanged(module), draws_undone(), torch.no_grad():
        yield


def _sample(value: object) -> object:
    """An input for a batch of two, without the values that were given."""
    if not isinstance(value, Tensor):
        return value
    shape = (BATCH, *value.shape[1:]) if value.dim() else value.shape
    return torch.zeros(shape, dtype=value.dtype, device=value.device)


def _tensors(returned: object) -> Iterator[Tensor]:
    """The tensors in what a model returns: containers and dataclasses in any nesting."""
    if isinstance(returned, Tensor):
        yield returned
    elif isinstance(returned, Mapping):
        for item in returned.values():
            yield from _tensors(item)
    elif dataclasses.is_dataclass(returned) and not isinstance(returned, type):
        for field in dataclasses.fields(returned):
            yield from _tensors(getattr(returned, field.name))
    elif isinstance(returned, tuple | list):
        for item in returned:
            yield from _tensors(item)


def _array(weight: Tensor) -> NDArray[np.generic]:
    """As float32; of complex numbers, their magnitudes."""
    values = weight.detach().cpu()
    array: NDArray[np.generic] = (values.abs() if values.is_complex() else values).float().numpy()
    return array
