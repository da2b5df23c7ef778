"""The channels of an ONNX file, as a ChannelNetwork: from our own files in any format, and from other tools'."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import inliner

from n2nsurgery.core.errors import CallerError, VerificationError
from n2nsurgery.export.channels.constants import Array, attribute
from n2nsurgery.export.channels.operators import RECORDERS
from n2nsurgery.export.channels.recording import Recording
from n2nsurgery.export.files import metadata as metadata_document
from n2nsurgery.export.files.load import STANDARD_DOMAINS, load_model
from n2nsurgery.export.proof.verify import require_valid
from n2nsurgery.graph.channels.flow import ChannelNetwork, Skip
from n2nsurgery.graph.channels.following import follow
from n2nsurgery.graph.channels.steps import Opaque


def channel_network_of_onnx(path: Path) -> ChannelNetwork:
    """The channels of the network in the file at `path`, with its weights and masks.

    Raises VerificationError where the file is not readable as ONNX or its graph cannot be followed, InvalidFileError
    for damaged metadata, UsageError where a size other than the batch is free, or where there is no weighted layer.
    """
    model = load_model(path)
    try:
        return channels_of(model)
    except CallerError:
        raise
    except Exception as error:
        require_valid(path)  # damaged graphs fail in any place; ONNX's checker says where
        raise VerificationError(
            f"the channels of '{path}' cannot be followed, though ONNX's checker accepts it:"
            f" {type(error).__name__}: {error}. If it runs in ONNX Runtime, please report this"
        ) from error


def channels_of(model: onnx.ModelProto) -> ChannelNetwork:
    """The channels of a model in memory; errors as `channel_network_of_onnx`."""
    document = metadata_document.decode({entry.key: entry.value for entry in model.metadata_props})
    if model.functions:
        model = inliner.inline_local_functions(model)
    recording = _recorded(model)
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


def _recorded(model: onnx.ModelProto) -> Recording:
    """Every node of the graph as steps: what reads no input is computed, the rest is recorded by its operator."""
    recording = Recording(model)
    for node in model.graph.node:
        carried = recording.carried(node)
        if not carried:
            recording.constants.compute(node)
        elif node.op_type == "Shape":
            sizes = np.array(recording.shape(node.input[0]), np.int64)
            sizes = sizes[attribute(node, "start", 0) : attribute(node, "end")]
            recording.constants.set(node.output[0], sizes)
        elif node.op_type == "Size":
            recording.constants.set(node.output[0], np.array(np.prod(recording.shape(node.input[0])), np.int64))
        else:
            recording.infer(node)
            record = RECORDERS.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
            if record is None or not record(recording, node):
                recording.add(Opaque, node, carried)
    return recording


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
