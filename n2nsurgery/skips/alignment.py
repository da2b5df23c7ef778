"""How an activation a is brought to the layout and spatial size of a pre-activation z.

Channels are left alone: they are the skip's own business (a learned projection, or padding). The paper (Eq. 2) skips
between layers of equal size and says nothing of others; pooling, cropping and upsampling are this project's extension.
Sizes are decided when planning, from the shapes of the example input, and are constants of the built network; only
the batch dimension stays free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from n2nsurgery.graph.layers.layer_graph import Signal
from n2nsurgery.skips.spec import Alignment, Pooling

_MAX_RANK = 3


def plan_alignment(source: Signal, target: Signal, pooling: Pooling = "average") -> Alignment | str:
    """The alignment of `source` with `target`, or the reason why there is none.

    | source -> target            | alignment                                                       |
    |-----------------------------|-----------------------------------------------------------------|
    | vector -> vector            | nothing                                                         |
    | spatial -> vector           | mean over all positions                                         |
    | spatial -> spatial          | per dimension: pool by H_a // H_z and crop, or upsample to H_z  |
    | channels last <-> first     | the same, with a permutation                                    |
    | tokens (L, C)               | only at equal length: a class token must not be averaged away   |
    | vector -> spatial, rank     | refused                                                         |
    | larger -> one position      | refused: it would pour a whole map into a gate or a pooled map  |
    """
    if not source.spatial and not target.spatial:
        return Alignment(pooling=pooling)
    if not target.spatial:
        return Alignment(pooling=pooling, vector=True, permute_in=source.layout == "channels_last")
    if source.spatial == target.spatial and len(target.spatial) <= _MAX_RANK:
        return _relayout(source, target, pooling)
    reason = _rejection(source, target)
    return reason if reason is not None else _resize(source, target, pooling)


def align(tensor: Tensor, alignment: Alignment) -> Tensor:
    """`tensor` in the target's layout and spatial size, with its own channels; the input is never modified.

    Maps: (N, C, H, W) -> (N, C, H', W'), pooled, cropped or repeated to the size that `alignment` was planned for; with
    `vector`, (N, C, ...) -> (N, C), the mean over all positions. Layouts with channels last stay or become such.
    """
    if alignment.permute_in:
        tensor = tensor.movedim(-1, 1)
    if alignment.vector:
        return tensor.mean(dim=tuple(range(2, tensor.ndim)))
    if alignment.factor:
        tensor = _pool(tensor, alignment)
    if alignment.crop is not None:
        tensor = _slice(tensor, (slice(size) for size in alignment.crop))
    if alignment.upsample is not None:
        tensor = F.interpolate(tensor, size=list(alignment.upsample), mode="nearest")
    return tensor.movedim(1, -1) if alignment.permute_out else tensor


def _rejection(source: Signal, target: Signal) -> str | None:
    have, want = source.spatial, target.spatial
    if not have:
        return f"a vector has no positions to fill the target's {_size(want)}"
    if len(have) != len(want):
        return f"spatial ranks differ: the source is {_size(have)}, the target {_size(want)}"
    if len(want) > _MAX_RANK:
        return f"{len(want)} spatial dimensions ({_size(want)}); up to {_MAX_RANK} can be aligned"
    if len(want) == 1 and "channels_last" in (source.layout, target.layout):
        return f"token sequences of different lengths ({have[0]} and {want[0]}) cannot be pooled"
    if all(size == 1 for size in want):
        return f"the target is a single position and the source {_size(have)}"
    return None


def _relayout(source: Signal, target: Signal, pooling: Pooling) -> Alignment:
    # Between equal sizes nothing needs channels first, so only a change of layout permutes.
    last_in, last_out = source.layout == "channels_last", target.layout == "channels_last"
    return Alignment(pooling=pooling, permute_in=last_in and not last_out, permute_out=last_out and not last_in)


def _resize(source: Signal, target: Signal, pooling: Pooling) -> Alignment:
    sizes = list(zip(source.spatial, target.spatial, strict=True))
    factor = tuple(max(1, have // want) for have, want in sizes)
    pooled = tuple(_pooled(have, step, pooling) for have, step in zip(source.spatial, factor, strict=True))
    cropped = tuple(min(have, want) for have, want in zip(pooled, target.spatial, strict=True))
    return Alignment(
        pooling=pooling,
        factor=factor if any(step > 1 for step in factor) else (),
        crop=cropped if cropped != pooled else None,
        upsample=target.spatial if cropped != target.spatial else None,
        permute_in=source.layout == "channels_last",
        permute_out=target.layout == "channels_last",
    )


def _pooled(size: int, step: int, pooling: Pooling) -> int:
    # Windows must fit entirely (floor); a stride also takes the first position of an incomplete window (ceil).
    return -(-size // step) if pooling == "stride" else size // step


def _pool(tensor: Tensor, alignment: Alignment) -> Tensor:
    factor = list(alignment.factor)
    if alignment.pooling == "stride":
        return _slice(tensor, (slice(None, None, step) for step in factor))
    pools = _AVERAGE if alignment.pooling == "average" else _MAX
    return pools[len(factor) - 1](tensor, factor)


def _average_3d(tensor: Tensor, factor: list[int]) -> Tensor:
    # CPUs have no avg_pool3d below single precision.
    wide = tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
    return F.avg_pool3d(wide, factor).to(tensor.dtype)


def _slice(tensor: Tensor, spatial: Iterable[slice]) -> Tensor:
    return tensor[(slice(None), slice(None), *spatial)]


def _size(spatial: tuple[int, ...]) -> str:
    return "x".join(map(str, spatial))


_Pool = Callable[[Tensor, list[int]], Tensor]
_AVERAGE: tuple[_Pool, ...] = (F.avg_pool1d, F.avg_pool2d, _average_3d)
_MAX: tuple[_Pool, ...] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)


def describe(alignment: Alignment) -> str:
    """The alignment in a few words, e.g. `average pool 2x2, crop 7x7`; `none` where nothing is done."""
    steps: list[str] = []
    if alignment.permute_in:
        steps.append("channels first")
    if alignment.vector:
        steps.append("global average")
    if alignment.factor:
        steps.append(f"{alignment.pooling} {'' if alignment.pooling == 'stride' else 'pool '}{_size(alignment.factor)}")
    if alignment.crop is not None:
        steps.append(f"crop {_size(alignment.crop)}")
    if alignment.upsample is not None:
        steps.append(f"upsample {_size(alignment.upsample)}")
    if alignment.permute_out:
        steps.append("channels last")
    return ", ".join(steps) or "none"
