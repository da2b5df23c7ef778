"""The decoders of segmentation-models-pytorch over a small ResNet."""

from __future__ import annotations

import importlib

import torch
from torch import nn

from n2nsurgery.coverage.catalogue import Inputs

_SIZE = 64
_DECODERS = (
    "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus", "UPerNet",
    "Segformer", "DPT",
)  # fmt: skip
_OWN_ENCODER = {"DPT": "tu-vit_tiny_patch16_224.augreg_in21k"}
_OWN_SIZE = {"DPT": 224, "PAN": 256}  # PAN pools what its encoder leaves three times more


def names() -> tuple[str, ...]:
    """The decoders that the installed version has."""
    package = importlib.import_module("segmentation_models_pytorch")
    return tuple(name for name in _DECODERS if hasattr(package, name))


def build(name: str) -> tuple[nn.Module, Inputs]:
    """The decoder for two classes, without pretrained weights."""
    kind = getattr(importlib.import_module("segmentation_models_pytorch"), name)
    size = _OWN_SIZE.get(name, _SIZE)
    module = kind(encoder_name=_OWN_ENCODER.get(name, "resnet18"), encoder_weights=None, classes=2)
    return module, (torch.randn(2, 3, size, size),)
