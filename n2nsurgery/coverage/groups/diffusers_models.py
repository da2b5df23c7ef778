"""The denoising networks of diffusers, from small configurations: UNets, a transformer, an autoencoder."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from n2nsurgery.coverage.catalogue import Inputs

_WIDTHS: dict[str, Any] = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
_FLAT: dict[str, Any] = {"sample_size": 16, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
         "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}  # fmt: skip
_CROSS: dict[str, Any] = {"sample_size": 16, "cross_attention_dim": 8, "attention_head_dim": 4,
          "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
          "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}  # fmt: skip
_VIDEO: dict[str, Any] = {"sample_size": 8, "cross_attention_dim": 8, "attention_head_dim": 4,
          "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
          "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D")}  # fmt: skip
_DIT: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "num_layers": 2,
        "sample_size": 8, "patch_size": 2, "norm_num_groups": 4, "num_embeds_ada_norm": 10}  # fmt: skip
_CODER: dict[str, Any] = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
          "latent_channels": 4}  # fmt: skip


def _noised(*shape: int) -> dict[str, Any]:
    return {"sample": torch.randn(2, *shape), "timestep": torch.tensor([3, 7])}


def _text() -> Tensor:
    return torch.randn(2, 5, 8)


_MODELS: Mapping[str, tuple[Mapping[str, Any], Callable[[], dict[str, Any]]]] = MappingProxyType(
    {
        "UNet2DModel": (_FLAT | _WIDTHS, lambda: _noised(3, 16, 16)),
        "UNet2DConditionModel": (_CROSS | _WIDTHS, lambda: _noised(4, 16, 16) | {"encoder_hidden_states": _text()}),
        "UNet1DModel": (
            {"sample_size": 32, "block_out_channels": (32, 32, 64), "in_channels": 2, "out_channels": 2,
             "extra_in_channels": 64},
            lambda: _noised(2, 64),
        ),
        "UNet3DConditionModel": (_VIDEO | _WIDTHS, lambda: _noised(4, 2, 8, 8) | {"encoder_hidden_states": _text()}),
        "DiTTransformer2DModel": (
            _DIT,
            lambda: {"hidden_states": torch.randn(2, 4, 8, 8), "timestep": torch.tensor([3, 7]),
                     "class_labels": torch.tensor([1, 2])},
        ),
        "AutoencoderKL": (_CODER | _WIDTHS, lambda: {"sample": torch.randn(2, 3, 16, 16)}),
    }
)  # fmt: skip


def names() -> tuple[str, ...]:
    """The networks of the table."""
    return tuple(_MODELS)


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The network with what a sampler would give it."""
    arguments, inputs = _MODELS[name]
    return getattr(importlib.import_module("diffusers"), name)(**arguments), inputs()
