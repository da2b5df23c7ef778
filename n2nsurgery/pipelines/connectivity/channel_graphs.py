"""From an artifact, an ONNX file, a model or a pruned network to its channel graph and that of its dense form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from n2nsurgery.connectivity.graph.channel_graph import ChannelGraph
from n2nsurgery.connectivity.graph.graph_options import DEFAULT, MAX_NODES, GraphOptions
from n2nsurgery.connectivity.graph.network_graph import channel_graph, dense_reference, require_size
from n2nsurgery.connectivity.measures.subject import Origin, Subject
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import listed
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.export.channels.network import channel_network_of_onnx
from n2nsurgery.graph.channels.flow import ChannelNetwork, Skip
from n2nsurgery.graph.channels.from_torch.network import channel_network
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.connectivity.making_of import making_of
from n2nsurgery.pipelines.prune.given_model import bundle_of, inputs_of
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.surgery.example_inputs import examples
from n2nsurgery.surgery.pruned_model import PrunedModel

_FOLDED = "The file came from an export that folds BatchNorm into the weights; it cannot be taken out again."
_DENSE_REFERENCE = (
    "The dense form is the network's own: without skips, every pruned weight with the mean magnitude of its layer's"
    " kept ones (1 / sqrt(fan-in) where a layer keeps none)."
)


def subject_of(  # noqa: PLR0913 - every argument is an option of the command
    given: str | Path | PrunedModel | nn.Module,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    options: GraphOptions = DEFAULT,
    max_nodes: int = MAX_NODES,
    allow_import: bool = False,
    last: bool = False,
    num_classes: int | None = None,
    input_size: tuple[int, ...] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Subject:
    """The graphs of a pruned network, an artifact's folder, an .onnx file, or the dense model of a name or module.

    `example_inputs`: needed for a module. `options`: how weights become conductances. `allow_import`, `last`,
    `num_classes`, `input_size` and `seed` as for `load` and for models by name. Raises UsageError (more than
    `max_nodes` channels, weights that are NaN or infinite), UnknownNameError, InvalidFileError or VerificationError (a
    folder or file that is none), TraceError.
    """
    require_network(given)
    making = None
    if isinstance(given, PrunedModel):
        origin, network, notes = Origin(name=given.plan.model_class, origin="pruned model"), *_of_pruned(given)
        making = making_of(given.plan)
    elif isinstance(given, nn.Module):
        origin = Origin(name=type(given).__name__, origin="model")
        network, notes = _of_bundle(bundle_of(given, example_inputs, seed)), ()
    elif Path(given).suffix.lower() == ".onnx":
        progress(f"reading {given}", 0.2)
        origin, network = _origin("onnx", given), channel_network_of_onnx(Path(given))
        notes = (_FOLDED,) if options.batchnorm == "ignored" else ()
    elif Path(given).is_dir():
        progress(f"loading {given}", 0.2)
        origin = _origin("artifact", given)
        pruned = load(given, allow_import=allow_import, last=last)
        (network, notes), making = _of_pruned(pruned), making_of(pruned.plan, Path(given))
    else:
        progress(f"building {given}", 0.2)
        origin = _origin("model", given)
        network = _of_bundle(resolve_model(str(given), num_classes=num_classes, input_size=input_size, seed=seed))
        notes = ()
    return replace(_subject(origin, network, options, notes, max_nodes), making=making)


def require_network(given: object) -> None:
    """Return where `given` can be a network; raises UsageError for a class, or for what is none."""
    if isinstance(given, type):
        raise UsageError(f"{given.__name__} is a class; give an object of it, {given.__name__}(...)")
    if not isinstance(given, PrunedModel | nn.Module | str | Path):
        raise UsageError(
            f"the network is of type {type(given).__name__}; give a pruned model, an nn.Module with example_inputs, the"
            " folder of an artifact or a run, an .onnx file, or a name of `n2nsurgery models`"
        )


def name_of(model: str | Path) -> str:
    """What a network is called: its name, or that of its folder or file."""
    return Path(model).name or str(model)


def _origin(kind: str, given: str | Path) -> Origin:
    """A name, and of what kind it is; where that lies, unless the name says it all."""
    name = name_of(given)
    return Origin(name=name, origin=kind if name == str(given) else f"{kind} {given}")


def _subject(
    origin: Origin, network: ChannelNetwork, options: GraphOptions, notes: tuple[str, ...], max_nodes: int
) -> Subject:
    require_size(network.flow, max_nodes=max_nodes)
    graph = channel_graph(network, options, max_nodes=max_nodes)
    dense = dense_reference(network, options, max_nodes=max_nodes)
    return Subject(
        graph=graph,
        dense=dense,
        origin=origin,
        skips=skip_kinds(graph, dense, {skip.name: skip.kind for skip in network.flow.skips}),
        conventions=options.sentences,
        notes=(*notes, *network.flow.notes, *network.notes, _DENSE_REFERENCE),
    )


def skip_kinds(graph: ChannelGraph, dense: ChannelGraph, kinds: Mapping[str, str]) -> dict[str, str]:
    """The kind of each skip by its block's name: those of `kinds`, and `residual` for what only `graph` adds up.

    A residual skip has no weights and no layer of its own: it is a sum that the dense form lacks.
    """
    known = {block.name for block in dense.blocks}
    sums = {block.name: "residual" for block in graph.blocks if not block.size and block.name not in known}
    return sums | dict(kinds)


def _of_bundle(bundle: ModelBundle) -> ChannelNetwork:
    inputs = inputs_of(bundle)
    return channel_network(trace(bundle.module, inputs).module, inputs)


def _of_pruned(pruned: PrunedModel) -> tuple[ChannelNetwork, tuple[str, ...]]:
    inputs = dict(zip((spec.name for spec in pruned.plan.inputs), examples(pruned.plan.inputs), strict=True))
    module, masks = pruned.plain()
    network = channel_network(module, inputs, masks=masks, skips=skips_of(pruned))
    called = {call.weight for call in network.flow.calls}
    return network, tuple(_left_out(pruned, called))


def skips_of(pruned: PrunedModel) -> tuple[Skip, ...]:
    """The grafted skips of a pruned network."""
    return tuple(
        Skip(name=skip.name, kind=skip.kind, source=skip.pair.source, target=skip.pair.target)
        for skip in pruned.plan.skips
    )


def _left_out(pruned: PrunedModel, called: set[str]) -> Iterator[str]:
    """What the graph does not hold of the network's pruned weights, and why."""
    unused = {weight.name for weight in pruned.plan.weights if not weight.uses}
    read = [name for name in pruned.masks if name not in called | unused]
    idle = [name for name in pruned.masks if name in unused - called]
    if read:
        yield (
            f"Weights that are not in the graph: {listed(read)}. Operations read them whose channels are not followed"
            " (einsum, recurrent layers), or nothing depends on their layers. What they cut is not seen."
        )
    if idle:
        yield f"Weights that the network does not use in eval mode are not in the graph: {listed(idle)}."
