"""Networks of MONAI for medical images, in small."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from n2nsurgery.coverage.catalogue import Inputs

_FLAT: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
_UNET = _FLAT | {"channels": (8, 16, 32), "strides": (2, 2)}
_KERNELS: dict[str, Any] = {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2)}
_MODELS: Mapping[str, tuple[Mapping[str, Any], tuple[int, ...]]] = MappingProxyType(
    {
        "UNet": (_UNET | {"num_res_units": 1}, (1, 32, 32)),
        "AttentionUnet": (_UNET, (1, 32, 32)),
        "BasicUNet": (_FLAT | {"features": (8, 8, 16, 16, 16, 8)}, (1, 32, 32)),
        "DynUNet": (_FLAT | _KERNELS | {"filters": (8, 16, 32)}, (1, 32, 32)),
        "SegResNet": (_FLAT | {"init_filters": 8}, (1, 32, 32)),
        "VNet": (_FLAT, (1, 32, 32)),
        "UNETR": (_FLAT | {"img_size": 32, "hidden_size": 24, "mlp_dim": 48, "num_heads": 4}, (1, 32, 32)),
        "SwinUNETR": (_FLAT | {"feature_size": 12}, (1, 64, 64)),
        "DenseNet121": (_FLAT, (1, 32, 32)),
        "ViT": ({"in_channels": 1, "img_size": 32, "patch_size": 8, "hidden_size": 24, "mlp_dim": 48, "num_layers": 2,
                 "num_heads": 4, "spatial_dims": 2, "classification": True}, (1, 32, 32)),
    }
)  # fmt: skip


def names() -> tuple[str, ...]:
    """The networks of the table."""
    return tuple(_MODELS)


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The network in two dimensions."""
    arguments, shape = _MODELS[name]
    return getattr(importlib.import_module("monai.networks.nets"), name)(**arguments), (torch.randn(2, *shape),)
