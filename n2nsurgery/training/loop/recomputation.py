"""Gradient checkpointing: blocks keep their inputs alone, and are run again in the backward pass for the rest.

Memory of activations falls to about that of the inputs of all blocks and of the inside of one. Each block is computed
twice. Chen et al. 2016, "Training deep nets with sublinear memory cost"; `torch.utils.checkpoint` does the work.

Blocks are the outermost modules that are elements of a Sequential, ModuleList or ModuleDict and hold at least two
modules with parameters; containers themselves are looked into. Residual blocks and transformer layers are blocks, the
layers of a plain Sequential are not.

Losses and gradients are the same to the bit. A block that is run again draws the same random numbers and starts from
the same buffers; what it does to buffers, batch statistics for example, counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.names import select
from n2nsurgery.core.outputs import call_states, map_tensors

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_HELP = "name the blocks in train.checkpointed_modules, or leave train.gradient_checkpointing out"


def blocks_of(module: nn.Module, patterns: Sequence[str] = ()) -> dict[str, nn.Module]:
    """The blocks of `module` by name: the outermost modules that match `patterns`, or the rule above without any.

    Raises UnknownNameError for a pattern that matches no module, UsageError where no module is a block.
    """
    modules = {name: each for name, each in module.named_modules() if name}
    if patterns:
        found = {name for pattern in patterns for name in select(pattern, list(modules), kind="module")}
    else:
        found = {
            name for name, each in modules.items() if _is_block(each, modules.get(name.rpartition(".")[0], module))
        }
    if not found:
        raise UsageError(
            f"{type(module).__name__} has no blocks: no element of a Sequential, ModuleList or ModuleDict holds two "
            f"modules with parameters; {_HELP}",
            field="gradient_checkpointing",
        )
    return {name: each for name, each in modules.items() if name in found and not _inside(name, found)}


def _is_block(module: nn.Module, parent: nn.Module) -> bool:
    if not isinstance(parent, _CONTAINERS) or isinstance(module, _CONTAINERS):
        return False
    return sum(1 for part in module.modules() if next(part.parameters(recurse=False), None) is not None) > 1


def _inside(name: str, names: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in names for length in range(1, len(parts)))


class Recomputation:
    """The blocks of `module`, run again in every backward pass until `close`."""

    def __init__(self, module: nn.Module, patterns: Sequence[str]) -> None:
        self._kind = type(module).__name__
        self._blocks = [_Block(module, block) for block in blocks_of(module, patterns).values()]

    def require_called(self) -> None:
        """Return where a forward pass has called a block; raises UsageError where none was, so nothing is saved."""
        if not any(block.called for block in self._blocks):
            raise UsageError(
                f"{self._kind} has {len(self._blocks)} blocks, and its forward pass calls none of them, as that of a "
                f"rewritten copy does: prune with the engine 'hooks', or {_HELP}",
                field="gradient_checkpointing",
            )

    def close(self) -> None:
        """Let the blocks keep their activations again."""
        for block in self._blocks:
            block.restore()


class _Block:
    """A module whose `forward` is replaced by `run`, a bound method, so that a deep copy of the model runs its own."""

    def __init__(self, root: nn.Module, module: nn.Module) -> None:
        self._root = root
        self._module = module
        self._replaced = module.__dict__.get("forward")
        self._forward: Callable[..., Any] = module.forward
        self.called = False
        module.__dict__["forward"] = self.run

    def run(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of the block
        """What the block returns; without gradients nothing is kept, so nothing is run again."""
        if not torch.is_grad_enabled():
            return self._forward(*args, **kwargs)
        self.called = True
        kept = map_tensors((args, kwargs), lambda tensor: tensor)  # lists may have grown by the second time
        again = False

        def forward(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            nonlocal again
            if again:
                given, named = kept
            again = True
            return self._forward(*given, **named)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _AsBefore(self._root, self._module)

        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    def restore(self) -> None:
        """Give the module its own `forward` back."""
        if self._replaced is None:
            self._module.__dict__.pop("forward", None)
        else:
            self._module.__dict__["forward"] = self._replaced


class _AsBefore:
    """A context, for any number of times, in which a block finds what it found when this object was made.

    That is copies of its buffers, and what hooks around it have kept of the call that it was a part of.
    """

    def __init__(self, root: nn.Module, module: nn.Module) -> None:
        self._states = [state.saved() for state in call_states(root)]
        self._buffers = [
            (part, name, buffer.clone())
            for part in module.modules()
            for name, buffer in part.named_buffers(recurse=False)
        ]
        self._inside = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as entered:
            for saved in self._states:
                entered.enter_context(saved())
            entered.enter_context(_replaced(self._buffers))
            self._inside = entered.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.__exit__(kind, error, trace)


@contextmanager
def _replaced(buffers: Sequence[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    """Inside, modules have copies of `buffers` in place of their own."""
    own = [(part, name, getattr(part, name)) for part, name, _ in buffers]
    try:
        for part, name, buffer in buffers:
            setattr(part, name, buffer.clone())
        yield
    finally:
        for part, name, buffer in own:
            setattr(part, name, buffer)


@contextmanager
def recomputation_errors(*, enabled: bool) -> Iterator[None]:
    """Inside is a backward pass; raises RunError, with what to do, where a block cannot be run again."""
    try:
        yield
    except RuntimeError as error:
        if not enabled:
            raise
        raise RunError(f"the backward pass failed with gradient checkpointing: {error}; {_HELP}") from error
