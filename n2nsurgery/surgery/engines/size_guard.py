"""What stands before a rewritten copy: its graph holds the sizes of the inputs it was traced with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from n2nsurgery.core.errors import RunError
from n2nsurgery.graph.tracing.traced_module import TracedModule
from n2nsurgery.surgery.planning.plan import InputSpec


class SizeGuard:
    """A forward pre-hook that refuses inputs of another size than planned; the batch is free."""

    def __init__(self, names: Sequence[str], inputs: Sequence[InputSpec]) -> None:
        self.names = tuple(names)
        self.sizes = {spec.name: spec.shape[1:] for spec in inputs}

    def check(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook with keyword arguments; raises RunError, naming the input and both sizes."""
        given = {**dict(zip(self.names, args, strict=False)), **kwargs}
        for name, size in self.sizes.items():
            value = given.get(name)
            if isinstance(value, Tensor) and value.shape[1:] != size:
                raise RunError(
                    f"the input '{name}' has size {_size(value.shape[1:])} in {type(module).__name__}, a rewritten copy"
                    f" that was made for {_size(size)}: give inputs of that size, or prune with the engine 'hooks',"
                    " which takes every size that the model takes"
                )


def guard_sizes(module: TracedModule, inputs: Sequence[InputSpec]) -> None:
    """From now on `module` refuses inputs of other sizes than those of `inputs`."""
    names = [str(node.target) for node in module.n2n_eval_graph.nodes if node.op == "placeholder"]
    module.register_forward_pre_hook(SizeGuard(names, inputs).check, with_kwargs=True)


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"
