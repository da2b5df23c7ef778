"""Every model that torchvision lists, on small images where the model takes them."""

from __future__ import annotations

from torch import nn

from n2nsurgery.coverage.catalogue import Inputs, run_at
from n2nsurgery.models.catalog import list_models, resolve_model

_SMALL = 64
_VIDEO = ("mvit_v1_b", "mvit_v2_s", "s3d", "swin3d_b", "swin3d_s", "swin3d_t", "mc3_18", "r2plus1d_18", "r3d_18")


def names() -> tuple[str, ...]:
    """The installed torchvision's names; those that begin with `quantized_` are ready for it and still in float."""
    return list_models("torchvision")


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The model with a batch of two small samples, or of its own size where it takes no other."""
    own_size = name in _VIDEO or "raft" in name

    def make(size: int | None) -> tuple[nn.Module, Inputs]:
        bundle = resolve_model(f"torchvision:{name}", seed=0, input_size=size)
        return bundle.module, bundle.example_inputs

    made: tuple[nn.Module, Inputs] = run_at((None,) if own_size else (_SMALL, 2 * _SMALL, None), make)
    return made
