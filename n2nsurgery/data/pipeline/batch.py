"""Batch: inputs with their targets and where they came from; and the forms in which callers hand data in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from torch import Tensor

from n2nsurgery.core.errors import UsageError

GIVEN = "given"
_FORMS = "a Batch, a tensor, a tuple (x, y) with a tensor or a tuple of tensors for x, or an iterable of those"


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """`inputs` in the order of `forward`'s parameters, batch first; `targets` of the loss, or None.

    `origin` goes into the record: "given", or how it was made, as in "noise(seed=0,batch_size=128,count=1)".
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor | None = None
    origin: str = GIVEN

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.inputs[0].shape[0]


def batches(data: object, *, count: int | None = None) -> list[Batch]:
    """`data` as a list of batches: the first `count` of an iterable (a DataLoader, for example), or all of it.

    One batch is a Batch, a tensor (no targets) or a tuple (x, y), where x is a tensor or a tuple of tensors; a list
    [x, y] counts as one only inside an iterable, since that is what a DataLoader yields. Raises UsageError for other
    forms, for inputs and targets of different sizes, and where there are fewer than `count` batches.
    """
    if count is not None and count < 1:
        raise UsageError(f"{count} batches were asked for; at least 1 is needed")
    found = list(islice(_stream(data), count))
    if len(found) < (count or 1):
        raise UsageError(f"the data holds {len(found)} batches; {count or 1} are needed")
    return found


def _stream(data: object) -> Iterator[Batch]:
    if isinstance(data, Batch | Tensor | tuple):
        yield _batch(data)
    elif isinstance(data, Iterable):
        yield from map(_batch, data)
    else:
        raise _unusable(data)


def _batch(item: object) -> Batch:
    if isinstance(item, Batch):
        return item
    if isinstance(item, Tensor):
        return _checked((item,), None)
    if not isinstance(item, tuple | list) or len(item) != 2:  # noqa: PLR2004 - x and y
        raise _unusable(item)
    x, y = item
    inputs = tuple(x) if isinstance(x, tuple | list) else (x,)
    if not inputs or not all(isinstance(tensor, Tensor) for tensor in (*inputs, y)):
        raise _unusable(item)
    return _checked(inputs, y)


def _checked(inputs: tuple[Tensor, ...], targets: Tensor | None) -> Batch:
    tensors = inputs if targets is None else (*inputs, targets)
    sizes = [tensor.shape[0] if tensor.ndim else 0 for tensor in tensors]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise UsageError(f"a batch needs equally many samples, at least 1, in every tensor; it has {sizes}")
    return Batch(inputs=inputs, targets=targets)


def _unusable(item: object) -> UsageError:
    return UsageError(f"data of type {type(item).__name__} cannot be used; it must be {_FORMS}")
