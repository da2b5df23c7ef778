"""Label arrays: where in a tensor which channel lies, as integers that move through a network like its data.

An array of int64 has the shape of the tensor; each entry names a slot, a set of nodes. Slot 0 is the empty set (a
constant, a padding). What a layer writes is constant along every axis but one, so such an array is a broadcast view
(stride 0) of one row of labels, and stays one until data really moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Shape = tuple[int, ...]

NOTHING = 0
"""The slot without a node."""

LARGEST_UNION = 64
"""Labels that a reduction unites one by one; beyond, everything it reads is better tied to one common node."""


class Slots:
    """The sets of nodes that labels stand for; equal sets have one label, whatever led to them."""

    def __init__(self) -> None:
        self.sets: list[tuple[int, ...]] = [()]
        self._labels: dict[tuple[int, ...], int] = {(): NOTHING}

    def label(self, nodes: tuple[int, ...]) -> int:
        """The label of a set of nodes, given in ascending order."""
        known = self._labels.setdefault(nodes, len(self.sets))
        if known == len(self.sets):
            self.sets.append(nodes)
        return known

    def singles(self, first: int, count: int) -> Labels:
        """Labels of the nodes first, first + 1, ..., one each."""
        return np.array([self.label((node,)) for node in range(first, first + count)], dtype=np.int64)

    def union(self, labels: Iterable[int]) -> int:
        """The label of all nodes of `labels` together."""
        distinct = set(labels)
        if len(distinct) == 1:
            return distinct.pop()
        return self.label(tuple(sorted({node for label in distinct for node in self.sets[label]})))

    def united(self, arrays: Sequence[Labels], shape: Shape) -> Labels:
        """Entry by entry the union of `arrays`, which are broadcast to `shape`."""
        result = np.broadcast_to(arrays[0], shape)
        for other in arrays[1:]:
            first, second = bases(result, np.broadcast_to(other, shape))
            pairs, inverse = distinct_pairs(first, second)
            unions = np.array([self.union(pair) for pair in pairs.tolist()], dtype=np.int64)
            result = np.broadcast_to(unions[inverse].reshape(first.shape), shape)
        return result

    def united_along(self, labels: Labels, axes: Iterable[int]) -> Labels | None:
        """The union over `axes`, which stay with size 1; None where one would name more than LARGEST_UNION labels."""
        chosen = sorted({axis % labels.ndim for axis in axes})
        base = base_of(compacted(labels))
        if any(base.shape[axis] > 1 for axis in chosen):
            moved = np.moveaxis(base, chosen, range(-len(chosen), 0))
            lead = moved.shape[: -len(chosen)]
            rows = [np.unique(row) for row in moved.reshape(prod(lead), -1)]
            if max(map(len, rows)) > LARGEST_UNION:
                return None
            unions = np.array([self.union(row.tolist()) for row in rows], dtype=np.int64)
            base = np.moveaxis(unions.reshape(*lead, *(1 for _ in chosen)), range(-len(chosen), 0), chosen)
        return widened(base, labels.shape, but=chosen)


def along(values: Labels, shape: Shape, axis: int) -> Labels:
    """A view of `shape` that holds `values` along `axis` and repeats them along every other one."""
    row = values.reshape(tuple(-1 if i == axis % len(shape) else 1 for i in range(len(shape))))
    return np.broadcast_to(row, shape)


def widened(base: Labels, shape: Shape, *, but: Iterable[int] = ()) -> Labels:
    """`base`, of size 1 where it repeats, as a view of `shape`; the axes `but` keep the size they have."""
    kept = set(but)
    return np.broadcast_to(base, tuple(base.shape[i] if i in kept else size for i, size in enumerate(shape)))


def base_of(labels: Labels) -> Labels:
    """`labels` with size 1 along every axis on which the array is a mere repetition."""
    return bases(labels)[0]


def bases(*arrays: Labels) -> tuple[Labels, ...]:
    """Arrays of one shape, with size 1 along the axes on which all of them are repetitions."""
    repeated = [axis for axis in range(arrays[0].ndim) if all(_repeats(array, axis) for array in arrays)]
    cut = tuple(slice(0, 1) if axis in repeated else slice(None) for axis in range(arrays[0].ndim))
    return tuple(array[cut] for array in arrays)


def compacted(labels: Labels) -> Labels:
    """The same labels as a view that is a repetition along every axis on which nothing changes."""
    base = base_of(labels)
    for axis in range(base.ndim):
        if base.shape[axis] == 1:
            continue
        first = base.take([0], axis=axis)
        if np.array_equal(first, base.take([-1], axis=axis)) and (base == first).all():
            base = first
    return np.broadcast_to(base, labels.shape)


def distinct_pairs(first: Labels, second: Labels) -> tuple[Labels, Labels]:
    """The distinct pairs of two arrays of one shape, (n, 2), and for each entry the number of its pair, flat."""
    largest = int(max(second.max(initial=0), 0)) + 1
    keys, inverse = np.unique(first.reshape(-1) * largest + second.reshape(-1), return_inverse=True)
    return np.stack([keys // largest, keys % largest], axis=1), inverse.reshape(-1)


def _repeats(array: Labels, axis: int) -> bool:
    return array.strides[axis] == 0 or array.shape[axis] == 1


def joined(arrays: Sequence[Labels], axis: int) -> Labels:
    """`arrays` one after the other along `axis`."""
    axis %= arrays[0].ndim
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    repeated = [i for i in range(len(shape)) if i != axis and all(_repeats(array, i) for array in arrays)]
    cut = tuple(slice(0, 1) if i in repeated else slice(None) for i in range(len(shape)))
    return np.broadcast_to(np.concatenate([array[cut] for array in arrays], axis=axis), tuple(shape))
