"""From an artifact, an ONNX file, a model or a pruned network to its channel graph and that of its dense form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.graph.graph_options import DEFAULT, GraphOptions
from n2nsurgery.connectivity.graph.network_graph import MAX_NODES, channel_graph, dense_reference, require_size
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.channels.network import channel_network_of_onnx as network_in_file
from n2nsurgery.graph.channels.flow import ChannelFlow, ChannelNetwork, Skip
from n2nsurgery.graph.channels.from_torch.network import channel_network
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.prune.apply import bundle_of, inputs_of
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.surgery.example_inputs import examples
from n2nsurgery.surgery.pruned_model import PrunedModel

Kind = Literal["artifact", "onnx", "model", "operated"]

_FOLDED = "The file came from an export that folds BatchNorm into the weights; it cannot be taken out again."
_OWN_FORM = (
    "The dense form is the network's own: without skips, every pruned weight with the mean magnitude of its layer's"
    " kept ones (1 / sqrt(fan-in) where a layer keeps none)."
)


@dataclass(frozen=True, kw_only=True)
class NetworkOrigin:
    """Where a network came from: its `kind`, and its folder, file, name or class."""

    kind: Kind
    name: str


@dataclass(frozen=True, kw_only=True)
class LayerLine:
    """A weighted layer or skip: `kept` of its `size` weights, each counted once, however often the layer is called."""

    name: str
    weight: str
    kept: int
    size: int
    skip: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkUnderTest:
    """A network as channel graphs; both have the same nodes, and are built when first asked for.

    `graph`: as it is. `dense`: its dense form. `notes`: what was approximated, in sentences.
    """

    origin: NetworkOrigin
    network: ChannelNetwork
    conventions: GraphOptions
    max_nodes: int = MAX_NODES
    remarks: tuple[str, ...] = ()

    @property
    def flow(self) -> ChannelFlow:
        """Who reads and writes which channel."""
        return self.network.flow

    @cached_property
    def graph(self) -> ChannelGraph:
        """The network's graph; UsageError where it is too large, or where weights are NaN or infinite."""
        return channel_graph(self.network, self.conventions, max_nodes=self.max_nodes)

    @cached_property
    def dense(self) -> ChannelGraph:
        """The graph of its dense form; errors as `graph`."""
        return dense_reference(self.network, self.conventions, max_nodes=self.max_nodes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know when reading the graphs."""
        return (*self.remarks, *self.flow.notes, *self.network.notes, _OWN_FORM)

    @cached_property
    def layers(self) -> tuple[LayerLine, ...]:
        """Every weight that is called, in the order of the first call."""
        skips = {skip.name for skip in self.flow.skips}
        lines: dict[str, LayerLine] = {}
        for call in self.flow.calls:
            mask = self.network.masks.get(call.weight)
            size = int(self.network.weights[call.weight].size)
            kept = size if mask is None else int(np.count_nonzero(mask))
            line = LayerLine(name=call.name, weight=call.weight, kept=kept, size=size, skip=call.name in skips)
            lines.setdefault(call.weight, line)
        return tuple(lines.values())


def subject_of(  # noqa: PLR0913 - every argument is an option of the command
    given: str | Path | PrunedModel | nn.Module,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    conventions: GraphOptions = DEFAULT,
    max_nodes: int = MAX_NODES,
    allow_import: bool = False,
    last: bool = False,
    num_classes: int | None = None,
    input_size: tuple[int, ...] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> NetworkUnderTest:
    """The network in an artifact's folder or an .onnx file, the dense model of a name or module, or a pruned one.

    `example_inputs`: needed for a module. `allow_import`, `last`, `num_classes`, `input_size` and `seed` as for `load`
    and for models by name. Raises UsageError (too many channels, broken weights), UnknownNameError, InvalidFileError or
    VerificationError (a folder or file that is none), TraceError.
    """
    if isinstance(given, PrunedModel):
        found = _of_pruned(given, NetworkOrigin(kind="operated", name=given.plan.model_class), conventions)
    elif isinstance(given, nn.Module):
        found = _of_bundle(bundle_of(given, example_inputs, seed), type(given).__name__, conventions)
    elif Path(given).suffix == ".onnx":
        progress(f"reading {given}", 0.2)
        found = _of_file(Path(given), conventions)
    elif Path(given).is_dir():
        progress(f"loading {given}", 0.2)
        found = _of_pruned(
            load(given, allow_import=allow_import, last=last),
            NetworkOrigin(kind="artifact", name=str(given)),
            conventions,
        )
    else:
        progress(f"building {given}", 0.2)
        bundle = resolve_model(str(given), num_classes=num_classes, input_size=input_size, seed=seed)
        found = _of_bundle(bundle, str(given), conventions)
    require_size(found.flow, max_nodes=max_nodes)
    return replace(found, max_nodes=max_nodes)


def _of_file(path: Path, conventions: GraphOptions) -> NetworkUnderTest:
    remarks = (_FOLDED,) if conventions.batchnorm == "ignored" else ()
    origin = NetworkOrigin(kind="onnx", name=str(path))
    return NetworkUnderTest(origin=origin, network=network_in_file(path), conventions=conventions, remarks=remarks)


def _of_bundle(bundle: ModelBundle, name: str, conventions: GraphOptions) -> NetworkUnderTest:
    inputs = inputs_of(bundle)
    network = channel_network(trace(bundle.module, inputs).module, inputs)
    return NetworkUnderTest(origin=NetworkOrigin(kind="model", name=name), network=network, conventions=conventions)


def _of_pruned(pruned: PrunedModel, origin: NetworkOrigin, conventions: GraphOptions) -> NetworkUnderTest:
    inputs = dict(zip((spec.name for spec in pruned.plan.inputs), examples(pruned.plan.inputs), strict=True))
    network = channel_network(
        pruned.module, _on_device(pruned.module, inputs), masks=pruned.masks, skips=skips_of(pruned)
    )
    called = {call.weight for call in network.flow.calls}
    return NetworkUnderTest(
        origin=origin, network=network, conventions=conventions, remarks=tuple(_uncalled(pruned.masks, called))
    )


def skips_of(pruned: PrunedModel) -> tuple[Skip, ...]:
    """The grafted skips of a pruned network."""
    return tuple(
        Skip(name=skip.name, kind=skip.kind, source=skip.pair.source, target=skip.pair.target)
        for skip in pruned.plan.skips
    )


def _on_device(module: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    device = next((parameter.device for parameter in module.parameters()), None)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def _uncalled(masks: Iterable[str], called: set[str]) -> Iterable[str]:
    left = [name for name in masks if name not in called]
    if left:
        yield (
            f"{len(left)} weights (first '{left[0]}') belong to layers that the network does not call in eval mode, or"
            " on which its output does not depend; they are not in the graph."
        )
