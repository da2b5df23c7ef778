"""Which axis of an input holds its channels: what reads it tells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from n2nsurgery.graph.channels.labels import Labels, along
from n2nsurgery.graph.channels.steps import Input, LayerStep, Move, Pointwise, Program

_VECTOR = 2
"""Dimensions of a batch of vectors."""


def channel_axis(given: Input, program: Program) -> int | None:
    """The axis of an input's channels: the last where only linear maps along it read the input, else the second.

    None where the input is one channel.
    """
    if given.indices or len(given.shape) < _VECTOR:
        return None
    size = given.shape[-1]
    read = list(_readings(given, program)) if len(given.shape) > _VECTOR else []
    along_last = [
        step.layout == "linear"
        and labels.shape[-1] == size
        and bool((labels == along(np.arange(size), labels.shape, -1)).all())
        for step, labels in read
    ]
    return len(given.shape) - 1 if along_last and all(along_last) else 1


def _readings(given: Input, program: Program) -> Iterator[tuple[LayerStep, Labels]]:
    """The layers that read an input as it is or moved, each with the place of what it reads along the last axis."""
    places = {given.value: along(np.arange(given.shape[-1]), given.shape, -1)}
    for step in program.steps:
        if len(step.reads) != 1 or step.reads[0] not in places:
            continue
        labels = places[step.reads[0]]
        if isinstance(step, LayerStep):
            yield step, labels
        elif isinstance(step, Move):
            places.update(zip(step.writes, step.apply([labels]), strict=True))
        elif isinstance(step, Pointwise):
            places[step.writes[0]] = np.broadcast_to(labels, step.shapes[0])
