"""The state of an optimizer as named tensors, the same whether a module has whole weights or kept values.

torch.distributed.checkpoint.state_dict names values likewise. It takes a step of the optimizer to learn what its state
looks like, which not every optimizer bears, and it loads momentum in another layout of memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.kept_values import kept_layers, parameter_names
from n2nsurgery.training.state.scheduler_state import NUMBERS


def optimizer_state(optimizer: Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """`<parameter>/<key>` -> value, for every parameter of `module` that the optimizer has seen, in the dense form.

    A number is kept as `<parameter>//<key>`. Raises UsageError for a value that is neither a tensor nor a number:
    nothing here could write it and read it back safely.
    """
    names, layers = parameter_names(module), kept_layers(module)
    found: dict[str, Tensor] = {}
    for parameter, state in optimizer.state.items():
        name = names[parameter]
        for key, value in state.items():
            if isinstance(value, Tensor):
                kept = name in layers and value.shape == parameter.shape
                found[f"{name}/{key}"] = layers[name].spread(value) if kept else value
            elif type(value) in NUMBERS:
                found[f"{name}//{key}"] = torch.tensor(value, dtype=NUMBERS[type(value)])
            elif value is not None:
                raise UsageError(
                    f"{type(optimizer).__name__} keeps '{key}' as {type(value).__name__}, which cannot be "
                    "saved; only optimizers whose state is tensors and numbers can be resumed"
                )
    return found


def load_optimizer_state(saved: Mapping[str, Tensor], optimizer: Optimizer, module: nn.Module) -> None:
    """Give every parameter its saved state, laid out in memory like the parameter, as the optimizer would.

    Raises KeyError for a parameter that `module` does not have.
    """
    parameters = {name: parameter for parameter, name in parameter_names(module).items()}
    layers = kept_layers(module)
    for entry, value in saved.items():
        name, key = entry.rsplit("/", 1)
        number = name not in parameters and name.endswith("/")
        parameter = parameters[name.removesuffix("/") if number else name]
        if number:
            optimizer.state[parameter][key] = value.item()
        elif name in layers and value.shape == layers[name].weight_shape:
            optimizer.state[parameter][key] = layers[name].gather(value)
        elif value.shape == parameter.shape:
            placed = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
            optimizer.state[parameter][key] = placed
        else:  # the step count, where the fused optimizers keep it
            optimizer.state[parameter][key] = value.to(parameter.device)
