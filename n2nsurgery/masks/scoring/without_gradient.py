"""Layers that a forward calls without gradients, as under `torch.no_grad`: their weights would all score zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.core.outputs import tensors_in


@contextmanager
def gradients_required(
    module: nn.Module, names: Sequence[str], tensors: Mapping[str, Tensor]
) -> Iterator[Callable[[Any], None]]:
    """Inside, `module` is called with `tensors` for its parameters; what is given is then called with its output.

    That raises UsageError for those of the weights `names` on which the output has no gradient because their layers are
    called without. It asks nothing where gradients are off altogether.
    """
    owners = {name: name.rpartition(".")[0] for name in names}
    without: set[str] = set()

    def note(path: str, *_: object) -> None:
        if not torch.is_grad_enabled():
            without.add(path)

    def require(output: object) -> None:
        leaves = {name: tensors[name] for name, path in owners.items() if path in without and tensors[name].is_leaf}
        missing = _independent(output, {name: leaf for name, leaf in leaves.items() if leaf.requires_grad})
        if missing:
            raise UsageError(
                f"{listed(missing)} cannot be scored: forward calls that part without gradients, as under"
                " torch.no_grad. Leave it dense (ignore), let gradients pass, or take a criterion without them, such as"
                " 'random' or 'magnitude'"
            )

    with ExitStack() as stack:
        if torch.is_grad_enabled():
            for path in dict.fromkeys(owners.values()):
                stack.callback(module.get_submodule(path).register_forward_pre_hook(partial(note, path)).remove)
        yield require


def _independent(output: object, leaves: Mapping[str, Tensor]) -> list[str]:
    """The names of the `leaves` on which no tensor in `output` depends by autograd."""
    results = [tensor.abs().sum() for tensor in tensors_in(output) if tensor.requires_grad]
    if not leaves or not results:
        return list(leaves)
    found = torch.autograd.grad(results, list(leaves.values()), retain_graph=True, allow_unused=True)
    return [name for name, gradient in zip(leaves, found, strict=True) if gradient is None]
