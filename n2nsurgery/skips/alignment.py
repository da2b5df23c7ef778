"""How an activation a is brought to the layout and spatial size of a pre-activation z.

Channels are left alone: they are the skip's own business (a learned projection, or padding). The paper (Eq. 2) skips
between layers of equal size and says nothing of others; pooling, cropping and upsampling are this project's extension.
Planned sizes are those of the example input. For an input of another size `fitted` computes them again from the tensors
at hand, by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from n2nsurgery.core.errors import RunError
from n2nsurgery.graph.layers.layer_graph import Signal
from n2nsurgery.skips.spec import Alignment, Pooling

_MAX_RANK = 3
_VECTOR_RANK = 2  # batch and channels


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


def cast(a: Tensor, weight: Tensor) -> Tensor:
    """`a` in the dtype of the skip's `weight`, as where a body in bfloat16 has a head in float32.

    Autocast chooses for itself where it is on.
    """
    if a.dtype == weight.dtype or torch.is_autocast_enabled(a.device.type):
        return a
    return a.to(weight.dtype)


def added(z: Tensor, branch: Tensor) -> Tensor:
    """The sum of a pre-activation and a skip's branch, with the shape and dtype of `z`.

    The branch may have another dtype, as under autocast, and another rank: `squeeze` in the forward of a network drops
    the batch of a single sample.
    """
    branch = branch.to(z.dtype)
    return z + (branch if branch.ndim == z.ndim else branch.reshape(z.shape))


def fitted(alignment: Alignment, a: Tensor, z: Tensor, *, channels_last: bool) -> Alignment:
    """`alignment` for the sizes that `a` and `z` have now; at the planned sizes it is `alignment` itself.

    `channels_last`: of `z`. A pooling keeps its planned factor where that still gives the size of `z` to within one
    position, else it takes H_a // H_z. Raises RunError for token sequences of different lengths.
    """
    if alignment.vector or z.ndim == _VECTOR_RANK:
        return alignment
    last_in = alignment.permute_in or (channels_last and not alignment.permute_out)
    have, want = _positions(a, last_in), _positions(z, channels_last)
    planned = alignment.factor or (1,) * len(want)
    factor = tuple(
        step if abs(_pooled(size, step, alignment.pooling) - wanted) <= 1 else max(1, size // wanted)
        for size, wanted, step in zip(have, want, planned, strict=True)
    )
    resized = _resized(have, want, factor, alignment.pooling)
    if resized == Alignment(pooling=alignment.pooling):
        return replace(alignment, factor=(), crop=None, upsample=None)
    if len(want) == 1 and (last_in or channels_last):
        raise RunError(f"a skip cannot bring {have[0]} tokens to {want[0]}: give inputs of another size")
    return replace(resized, permute_in=last_in, permute_out=channels_last)


def _positions(tensor: Tensor, channels_last: bool) -> tuple[int, ...]:  # noqa: FBT001 - of this tensor
    return tuple(tensor.shape[1:-1] if channels_last else tensor.shape[2:])


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
    have, want = source.spatial, target.spatial
    factor = tuple(max(1, size // wanted) for size, wanted in zip(have, want, strict=True))
    last_in, last_out = source.layout == "channels_last", target.layout == "channels_last"
    return replace(_resized(have, want, factor, pooling), permute_in=last_in, permute_out=last_out)


def _resized(have: tuple[int, ...], want: tuple[int, ...], factor: tuple[int, ...], pooling: Pooling) -> Alignment:
    """The steps from one size to the other, channels first: pool by `factor`, crop, repeat what is missing."""
    pooled = tuple(_pooled(size, step, pooling) for size, step in zip(have, factor, strict=True))
    cropped = tuple(min(size, wanted) for size, wanted in zip(pooled, want, strict=True))
    return Alignment(
        pooling=pooling,
        factor=factor if any(step > 1 for step in factor) else (),
        crop=cropped if cropped != pooled else None,
        upsample=want if cropped != want else None,
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
