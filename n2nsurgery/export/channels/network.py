"""The channels of an ONNX file, as a ChannelNetwork: from our own files in any format, and from other tools'."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import inliner

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export import metadata as metadata_document
from n2nsurgery.export.channels.program import Recording
from n2nsurgery.export.load import load_model
from n2nsurgery.graph.channels.flow import ChannelNetwork, Skip
from n2nsurgery.graph.channels.following import follow

_ZERO_IS_PRUNED = (
    "The masks are read from the file: a weight counts as pruned where it is exactly zero, so a kept weight of value"
    " zero counts as pruned."
)
_FOLDED = "BatchNorm was folded into the weights when the file was exported; it cannot be taken out again."


def channel_network(path: Path) -> ChannelNetwork:
    """The channels of the network in the file at `path`, with its weights and masks.

    Raises VerificationError where the file is no readable ONNX model, InvalidFileError for damaged metadata,
    UsageError where a size other than the batch is free, or where there is no weighted layer.
    """
    model = load_model(path)
    document = metadata_document.decode({entry.key: entry.value for entry in model.metadata_props})
    if model.functions:
        model = inliner.inline_local_functions(model)
    recording = Recording(model)
    flow, scales = follow(recording.program)
    used = {call.weight for call in flow.calls}
    weights = {name: array for name, array in recording.weights.items() if name in used}
    masks = {name: array != 0 for name, array in weights.items() if np.count_nonzero(array) < array.size}
    skips = tuple(_skip(entry) for entry in _skips(document))
    return ChannelNetwork(
        flow=dataclasses.replace(flow, skips=skips),
        weights=weights,
        masks=masks,
        scales=scales,
        notes=(*((_ZERO_IS_PRUNED,) if masks else ()), *((_FOLDED,) if document is not None else ())),
    )


def _skips(document: Mapping[str, Any] | None) -> list[Any]:
    summary = (document or {}).get("summary")
    skips = summary.get("skips") if isinstance(summary, dict) else None
    return skips if isinstance(skips, list) else []


def _skip(entry: object) -> Skip:
    names = ("name", "kind", "source", "target")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in names):
        raise VerificationError("the metadata's list of skips is damaged; export the model again")
    return Skip(**{name: entry[name] for name in names})
