"""Which parts of a network are trained: modes that a caller has set, and parameters that are frozen by name.

A module in train mode may hold modules that its owner has put into eval mode, a BatchNorm whose statistics are to stay
for example; they stay in eval mode throughout the training. A module that is in eval mode itself, as after an
evaluation, is put into train mode as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from n2nsurgery.core.names import select
from n2nsurgery.core.outputs import modes_kept


def enter_train_mode(module: nn.Module) -> None:
    """Put `module` into train mode, but for the modules inside that were in eval mode while it was not."""
    if not module.training:
        module.train()


@contextmanager
def given_back(module: nn.Module | None) -> Iterator[None]:
    """Afterwards `module`, where there is one, has its modes again, and trainable are the parameters that were so."""
    given = [module] if module is not None else []
    trained = [(parameter, parameter.requires_grad) for each in given for parameter in each.parameters()]
    with modes_kept(*given):
        try:
            yield
        finally:
            for parameter, requires_grad in trained:
                parameter.requires_grad_(requires_grad)


def freeze(module: nn.Module, patterns: Sequence[str]) -> Callable[[], None]:
    """Stop the training of all parameters that match one of `patterns`, by their own name or that of a module.

    A BatchNorm (or another normalization with running statistics) whose parameters are all frozen keeps its statistics,
    too. What is returned makes everything trainable again that was so before. Raises UnknownNameError where a pattern
    matches nothing.
    """
    parameters = dict(module.named_parameters())
    names = [*parameters, *(name for name, _ in module.named_modules() if name)]
    frozen = {name for pattern in patterns for name in select(pattern, names, kind="layer")}
    stopped = [parameter for name, parameter in parameters.items() if name in frozen and parameter.requires_grad]
    still = [
        inner
        for name, inner in module.named_modules()
        if isinstance(inner, _NormBase) and inner.training and _is_frozen(name, inner, frozen)
    ]
    _set(stopped, still, trained=False)
    return lambda: _set(stopped, still, trained=True)


def _is_frozen(name: str, module: nn.Module, frozen: set[str]) -> bool:
    own = [f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)]
    return name in frozen or (bool(own) and frozen.issuperset(own))


def _set(parameters: Sequence[nn.Parameter], modules: Sequence[nn.Module], *, trained: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(trained)
    for module in modules:
        module.train(trained)
