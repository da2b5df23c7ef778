"""Encoded images (JPEG, PNG and a few more) as RGB, bounded before they are decoded."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.data.files.memory import require_memory

# What data sets consist of. Pillow would also take formats whose readers start other programs (EPS).
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif")
MOST_BYTES = 64 << 20  # of one encoded image
_MOST_PIXELS = 80_000_000  # below Pillow's own warning of a decompression bomb
_MOST_THREADS = 8
_CHUNK = 512


def decoded(data: bytes, where: str) -> Image.Image:
    """The first frame of the image in `data` as RGB; InvalidFileError, with `where`, if it is damaged or too large."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise InvalidFileError(
                    f"'{where}' has {image.width} x {image.height} pixels; at most {_MOST_PIXELS} are read"
                )
            return image.convert("RGB")
    # Pillow's decoders raise whatever their format's parser raises.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidFileError(f"'{where}' is not an image that can be read: {error}; replace or remove it") from error


def decode_all(read: Callable[[int], bytes], names: tuple[str, ...], size: int | None) -> Tensor:
    """Every image as uint8 (N, 3, H, W), resized to `size` x `size`; without `size`, all must be of one size.

    Threads decode side by side: Pillow releases the interpreter while it works. InvalidFileError for a damaged image
    and for one of another size than the first.
    """
    height, width = (size, size) if size is not None else decoded(read(0), names[0]).size[::-1]
    require_memory(len(names), 3 * height * width)
    images = torch.empty((len(names), 3, height, width), dtype=torch.uint8)

    def fill(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(names))):
            image = decoded(read(index), names[index])
            if size is not None:
                image = v2.resize(image, [size, size])
            elif image.size != (width, height):
                raise InvalidFileError(
                    f"'{names[index]}' has {image.width} x {image.height} pixels, '{names[0]}' has {width} x {height}; "
                    "set the option size, to which all are then resized"
                )
            images[index] = v2.pil_to_tensor(image)

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(0, len(names), _CHUNK)))
    return images
