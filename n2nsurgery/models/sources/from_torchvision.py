"""Models of torchvision: classification, segmentation, detection, video, optical flow.

Three things torchvision does by default are not done here. Backbones of segmentation and detection models are not
downloaded (`weights_backbone` is None). GoogLeNet and Inception are built with `init_weights=False`, that is with
torch's own initialization: torchvision's truncated normal takes seconds, and its default is announced to change. And
pretrained weights are loaded by this package, never by the builder, which would unpickle the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision import models

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.models.sources.source import Arguments, Design, InputSize, Shape, StateDict, call_builder, sized

_IMAGE = (3, 224, 224)
_CLIP = (3, 16, 224, 224)
# By the module that holds the builder, below torchvision.models; everything else takes one image of 224x224.
_INPUT_SHAPES: Mapping[str, tuple[Shape, ...]] = {
    "inception": ((3, 299, 299),),
    "quantization.inception": ((3, 299, 299),),
    "optical_flow.raft": ((3, 128, 128), (3, 128, 128)),
    "detection.ssd": ((3, 300, 300),),
    "video.resnet": ((3, 16, 112, 112),),
    "video.mvit": (_CLIP,),
    "video.s3d": (_CLIP,),
    "video.swin_transformer": (_CLIP,),
}
_DETECTION = ((3, 320, 320),)
_DENSENET_OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def names() -> tuple[str, ...]:
    """Every registered model of the installed torchvision."""
    return tuple(models.list_models())


def design(name: str, requested: Arguments, *, input_size: InputSize | None, weights: str | None) -> Design:
    """Default shapes by the kind of model, and the arguments that weights or another input size demand."""
    builder = _builder(name)
    arguments = dict(requested)
    shapes = _default_shapes(builder)
    if weights is not None:
        meta = _entry(name, weights).value.meta
        arguments = _with_weights(name, builder, arguments, meta)
        if "min_size" in meta and _family(builder) == "vision_transformer":
            shapes = ((3, *meta["min_size"]),)
    resized = tuple(sized(shape, input_size) for shape in shapes)
    return Design(arguments=arguments | _size_arguments(_family(builder), resized[0]), input_shapes=resized)


def build(name: str, arguments: Arguments) -> nn.Module:
    """The model without pretrained weights, see the module's docstring for what differs from the default."""
    builder = _builder(name)
    quiet: dict[str, Any] = {"weights": None}
    if "weights_backbone" in signature(builder).parameters:
        quiet["weights_backbone"] = None
    if _family(builder).rpartition(".")[2] in ("googlenet", "inception"):
        quiet["init_weights"] = False
    return call_builder(builder, name, {**quiet, **arguments})


def pretrained(name: str, weights: str, *, download: bool) -> tuple[str, StateDict]:
    """The entry's full name and its state dict, from torch's hub cache or, with `download`, from the network."""
    entry = _entry(name, weights)
    url = entry.value.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.exists():
        if not download:
            raise RunError(
                f"the weights {entry} are not on this computer ({path} is missing); "
                f"allow the download of {url} with --download"
            )
        _download(url, path)
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    if _family(_builder(name)) == "densenet":
        # These files are older than the names of today's layers: norm.1 -> norm1.
        state = {_DENSENET_OLD_KEY.sub(r"\1\2", key): value for key, value in state.items()}
    return str(entry), state


def _builder(name: str) -> Callable[..., nn.Module]:
    if name not in names():
        raise unknown("torchvision model", name, names())
    builder: Callable[..., nn.Module] = models.get_model_builder(name)
    return builder


def _family(builder: Callable[..., nn.Module]) -> str:
    return builder.__module__.removeprefix("torchvision.models.")


def _default_shapes(builder: Callable[..., nn.Module]) -> tuple[Shape, ...]:
    family = _family(builder)
    return _INPUT_SHAPES.get(family, _DETECTION if family.startswith("detection.") else (_IMAGE,))


def _size_arguments(family: str, shape: Shape) -> dict[str, Any]:
    """What builders must know of an input of this shape; most networks take any."""
    if family == "vision_transformer":
        return {"image_size": shape[-1]} if shape != _IMAGE else {}
    if family == "maxvit":
        return {"input_size": list(shape[-2:])} if shape != _IMAGE else {}
    if family == "video.mvit":
        return {"spatial_size": list(shape[-2:]), "temporal_size": shape[1]} if shape != _CLIP else {}
    return {}


def _entry(name: str, weights: str) -> Enum:
    table = models.get_model_weights(name)
    key = weights.removeprefix(f"{table.__name__}.")
    if key not in table.__members__:
        raise unknown(f"weights of '{name}'", weights, list(table.__members__))
    entry: Enum = table[key]
    return entry


def _with_weights(
    name: str, builder: Callable[..., nn.Module], requested: Arguments, meta: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments that give the network for which the weights were made."""
    family = _family(builder)
    if family.startswith(("detection.", "quantization.")):
        raise UsageError(
            f"pretrained weights of '{name}' need a network that torchvision builds only while loading them; "
            "build it in Python and hand in the module, or a .safetensors file of its weights"
        )
    demanded: dict[str, Any] = {"num_classes": len(meta["categories"])} if "categories" in meta else {}
    if "aux_loss" in signature(builder).parameters:
        demanded["aux_loss"] = True
    if family in ("googlenet", "inception"):
        demanded["transform_input"] = True
    for key, value in demanded.items():
        if key != "num_classes" and requested.get(key, value) != value:
            raise UsageError(f"{key}={requested[key]}: these weights of '{name}' were made with {key}={value}")
    return {**demanded, **requested}


def _download(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = re.search(r"-([0-9a-f]{8,})\.", path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), digest.group(1) if digest else None, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        raise RunError(f"the download of {url} to {path} failed: {error}") from error
