"""The channels of an ONNX file, as a ChannelNetwork: from our own files in any format, and from other tools'."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import inliner

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export.channels.constants import Array
from n2nsurgery.export.channels.program import Recording
from n2nsurgery.export.files import metadata as metadata_document
from n2nsurgery.export.files.load import load_model
from n2nsurgery.graph.channels.flow import ChannelNetwork, Skip
from n2nsurgery.graph.channels.following import follow


def channel_network(path: Path) -> ChannelNetwork:
    """The channels of the network in the file at `path`, with its weights and masks.

    Raises VerificationError where the file is no readable ONNX model, InvalidFileError for damaged metadata,
    UsageError where a size other than the batch is free, or where there is no weighted layer.
    """
    return channels_of(load_model(path))


def channels_of(model: onnx.ModelProto) -> ChannelNetwork:
    """The channels of a model in memory; errors as `channel_network`."""
    document = metadata_document.decode({entry.key: entry.value for entry in model.metadata_props})
    if model.functions:
        model = inliner.inline_local_functions(model)
    recording = Recording(model)
    flow, scales = follow(recording.program)
    used = {call.weight for call in flow.calls}
    weights = {name: array for name, array in recording.weights.items() if name in used}
    masks = {name: array != 0 for name, array in weights.items() if np.count_nonzero(array) < array.size}
    skips = tuple(_skip(entry) for entry in _lines(document, "skips"))
    return ChannelNetwork(
        flow=dataclasses.replace(flow, skips=skips),
        weights=weights,
        masks=masks,
        scales=scales,
        notes=(*_mask_notes(masks, recording.coded), *_zero_notes(document, weights)),
    )


def _mask_notes(masks: Iterable[str], coded: Collection[str]) -> Iterator[str]:
    read_off = [name for name in masks if name not in coded]
    if read_off:
        yield (
            f"The masks of {len(read_off)} weights that the file holds as ordinary tensors (first '{read_off[0]}') are"
            " where these are not zero: a kept weight of value zero counts as pruned."
        )


def _zero_notes(document: Mapping[str, Any] | None, weights: Mapping[str, Array]) -> Iterator[str]:
    """Where the file's metadata counts more kept weights than are not zero; compaction aside, which takes both."""
    deployment = (document or {}).get("deployment")
    compaction = deployment.get("compaction") if isinstance(deployment, dict) else None
    if isinstance(compaction, dict) and compaction.get("kept"):
        return
    lines = [line for line in _lines(document, "layers") if isinstance(line, dict)]
    said = {str(line.get("parameter")): line.get("kept") for line in lines}
    missing = {
        name: kept - int(np.count_nonzero(weights[name]))
        for name, kept in said.items()
        if name in weights and isinstance(kept, int)
    }
    if (total := sum(count for count in missing.values() if count > 0)) > 0:
        yield f"{total:,} kept weights are exactly zero in the file, so that they count as pruned."


def _lines(document: Mapping[str, Any] | None, what: str) -> list[Any]:
    """A list in the metadata's summary; empty where there is none."""
    summary = (document or {}).get("summary")
    lines = summary.get(what) if isinstance(summary, dict) else None
    return lines if isinstance(lines, list) else []


def _skip(entry: object) -> Skip:
    names = ("name", "kind", "source", "target")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in names):
        raise VerificationError("the metadata's list of skips is damaged; export the model again")
    return Skip(**{name: entry[name] for name in names})
