"""The inputs that a model of Transformers is traced with, by what its class and its configuration say."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from n2nsurgery.core.errors import UsageError
from n2nsurgery.models.sources.source import InputSize, Shape, sized

_TOKENS = 16
_SAMPLES = 4000  # a quarter of a second of sound at 16 kHz
_IMAGE = 224


@dataclass(frozen=True, kw_only=True)
class HfInput:
    """One argument of forward: the shape of one sample, and of how many `ids` it consists (0: of floats)."""

    name: str
    shape: Shape
    ids: int = 0


def inputs_of(kind: Any, config: Any, input_size: InputSize | None) -> tuple[HfInput, ...]:  # noqa: ANN401 - Transformers
    """The inputs of `kind` (a class of Transformers) with `config`; `input_size`: the shape of one sample of the first.

    Raises UsageError where its main input is neither tokens, images nor sound.
    """
    main = str(kind.main_input_name)
    shapes: dict[str, Callable[[], Shape]] = {
        "input_ids": lambda: (_TOKENS,),
        "pixel_values": lambda: _image(config),
        "input_values": lambda: (_SAMPLES,),
        "input_features": lambda: _spectrogram(config),
    }
    if main not in shapes:
        raise UsageError(
            f"{kind.__name__} takes '{main}', of which no example can be made; hand in the module in Python"
        )
    shape = sized(shapes[main](), input_size)
    found = [HfInput(name=main, shape=shape, ids=_ids(config) if main == "input_ids" else 0)]
    takes = inspect.signature(kind.forward).parameters
    if main == "input_ids" and "pixel_values" in takes and hasattr(config, "vision_config"):
        found.append(HfInput(name="pixel_values", shape=_image(config)))
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
        found.append(HfInput(name="decoder_input_ids", shape=(_TOKENS,), ids=_ids(config)))
    return tuple(found)


def _image(config: Any) -> Shape:  # noqa: ANN401
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", _IMAGE)
    if isinstance(size, dict):
        size = (size["height"], size["width"])
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return (int(getattr(vision, "num_channels", 3)), int(height), int(width))


def _spectrogram(config: Any) -> Shape:  # noqa: ANN401
    """Mel bins and frames: two for each position of the encoder."""
    return (int(config.num_mel_bins), 2 * int(getattr(config, "max_source_positions", _TOKENS)))


def _ids(config: Any) -> int:  # noqa: ANN401
    return int(config.get_text_config().vocab_size)
