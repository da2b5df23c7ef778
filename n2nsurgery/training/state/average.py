"""Averaged weights (EMA): a <- d a + (1 - d) w after every step, with d = min(decay, (1 + n) / (10 + n)) at step n.

The ramp of d, as in TensorFlow's ExponentialMovingAverage, keeps the initial weights from lingering in short runs.
Floating-point buffers (batch statistics) are averaged like weights, others copied. Zeros stay zeros.

torch.optim.swa_utils.AveragedModel does not serve: it copies the module deeply, which not every module permits, and
it hands the number of updates over as a tensor on the device, for which a GPU would have to be waited in every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from n2nsurgery.masks.kept_values import kept_layers, kept_state


class WeightAverage:
    """The running average of a module's state; `values` has the keys of its state_dict.

    Of a layer that holds kept values alone, those are averaged (`masks.kept_values`: the kept form of the state).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._decay = decay
        self.updates = 0
        self.values: dict[str, Tensor] = {name: value.detach().clone() for name, value in kept_state(module).items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        live = kept_state(self._module)
        floating = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in floating], [live[n] for n in floating], 1 - decay)
        for name in self.values.keys() - set(floating):
            self.values[name].copy_(live[name])

    def buffers(self) -> list[Tensor]:
        """The averages of the module's buffers, its batch statistics: what each of several processes has its own of."""
        parameters = {name for name, _ in self._module.named_parameters(remove_duplicate=False)}
        parameters |= kept_layers(self._module).keys()
        return [value for name, value in self.values.items() if name not in parameters]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside, the module has the averaged state; its own comes back to the bit."""
        live = kept_state(self._module)
        own = {name: value.detach().clone() for name, value in live.items()}
        _copy(self.values, live)
        try:
            yield
        finally:
            _copy(own, live)

    def load(self, values: dict[str, Tensor], updates: int) -> None:
        """Go on from a saved average."""
        _copy(values, self.values)
        self.updates = updates


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
