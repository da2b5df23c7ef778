"""Sparse twins for the trainer, which knows nothing of how they are made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from n2nsurgery.sparse_training import choices_of, sparse_training, to_dense
from n2nsurgery.sparse_training.choice import predicted_gain
from n2nsurgery.training.engine.twin import TwinRequest

_LOG = logging.getLogger("n2nsurgery.train")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedTwin:
    """A `SparseTwin` of the trainer: `module` is the twin that `sparse_training` made."""

    module: nn.Module

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the sparse layers."""
        return tuple(choice.layer for choice in choices_of(self.module) if choice.engine == "sparse")

    @property
    def predicted_gain(self) -> float | None:
        """See `choice.predicted_gain`."""
        return predicted_gain(choices_of(self.module))

    def write_back(self) -> None:
        """See `to_dense`."""
        to_dense(self.module)


def sparse_twin(module: nn.Module, masks: Mapping[str, Tensor], request: TwinRequest) -> TrainedTwin:
    """The twin that `request` asks for; each layer's engine and its reason are in the log (debug).

    Raises UsageError for a module that cannot have one, LibraryNotBuiltError where the kernels are not built.
    """
    twin = sparse_training(
        module,
        masks,
        example=request.example,
        layers=request.layers,
        measure=request.measure and request.example is not None,
        full_gradients=request.full_gradients,
    )
    for choice in choices_of(twin):
        _LOG.debug("engine of %s: %s (%s)", choice.layer, choice.engine, choice.reason)
    return TrainedTwin(module=twin)
