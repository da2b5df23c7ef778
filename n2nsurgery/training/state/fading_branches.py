"""FadingBranches: branches that lose their strength in training, in whatever module computes them.

A module that is called as `module(z, a)` and gives z plus a branch gives z plus `strength` times the branch instead:
its own result to the bit at strength 1, and z to the bit at 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import FadedOutput, is_faded
from n2nsurgery.training.config.fading import FadingConfig


class FadingBranches:
    """The branches called `names` in `module`, over `steps` optimizer steps."""

    def __init__(self, module: nn.Module, names: Sequence[str], config: FadingConfig, steps: int) -> None:
        """Raises UsageError where there are none."""
        if not names:
            raise UsageError(
                "is given, and the network has no skips that could fade: prune it with skips, or leave it out",
                field="skip_fade",
                joint=" ",
            )
        self._names, self._config, self._steps = tuple(names), config, steps
        self._hook = FadedOutput()
        self._handles = [module.get_submodule(name).register_forward_hook(self._hook) for name in names]

    @property
    def are_gone(self) -> bool:
        """Whether nothing is left of them now."""
        return self._hook.strength == 0

    def at(self, step: int) -> None:
        """Give them the strength that they have once `step` steps are done."""
        self._hook.strength = self._config.strength(step, self._steps)

    def close(self) -> None:
        """Let go of the module."""
        for handle in self._handles:
            handle.remove()

    def settle(self, original: nn.Module) -> None:
        """Where the branches are gone, have none left in `original`, which the module may be a copy of."""
        for name in self._names if self.are_gone else ():
            branch = original.get_submodule(name)
            if not is_faded(branch):
                branch.register_forward_hook(self._hook)
