"""What surgery sees in a model: layers, pairs, capacity, and the reason for everything that is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from torch import nn

from n2nsurgery.core.config.signature import keywords_of, require_known
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import counted
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.core.sealed_folder import MANIFEST
from n2nsurgery.graph.layers.layer_graph import LayerGraph, LayerPair, Rejection, WeightedLayer
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.following.follow import Leaf
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.models.weights_config import WeightsConfig
from n2nsurgery.pipelines.prune.arguments import require_object
from n2nsurgery.pipelines.prune.given_model import bundle_of, inputs_of
from n2nsurgery.pipelines.saved.run_folder import SURGERY, is_run
from n2nsurgery.surgery.artifact import read
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.keywords import PairOptions
from n2nsurgery.surgery.planning.planner import checked
from n2nsurgery.surgery.planning.skip_length import skip_length_of
from n2nsurgery.surgery.planning.skip_plan import places
from n2nsurgery.surgery.summary import summary

if TYPE_CHECKING:
    from n2nsurgery.export.proof.inspect_file import FileInspection

_OWN_WEIGHTS = WeightsConfig()


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A model's LayerGraph, the pairs that a selection takes, and what stands against the others."""

    model: str
    graph: LayerGraph
    skip_length: int
    pairs: tuple[LayerPair, ...]
    refused: tuple[Rejection, ...]
    leaves: tuple[Leaf, ...]

    def __repr__(self) -> str:
        """One line, for whoever prints a whole network."""
        size = f"{counted(len(self.graph.layers), 'layer')}, {counted(self.graph.reference_weights, 'weight')}"
        pairs = counted(len(self.pairs), "pair for skips", "pairs for skips")
        return f"Inspection({self.model}, {size}, {pairs}, {counted(len(self.refused), 'rejection')})"

    @property
    def skip_capacity(self) -> int:
        """Weights that 1x1 skips at these pairs can hold."""
        return sum(_capacity(pair) for pair in self.pairs)

    def to_json(self) -> dict[str, Any]:
        """The document that `inspect --json` prints; MACs and shapes are those of one sample."""
        weights = {weight.name: weight.numel for weight in self.graph.weights}
        return {
            "model": self.model,
            "reference_weights": self.graph.reference_weights,
            "macs": self.graph.macs,
            "structure": self.graph.structure,
            "candidate_pairs": len(self.graph.pairs),
            "skip_length": self.skip_length,
            "skip_capacity": self.skip_capacity,
            "layers": [_layer(layer, weights.get(layer.weight, 0)) for layer in self.graph.layers],
            "pairs": [_pair(pair) for pair in self.pairs],
            "opaque": [
                {"class": leaf.class_name, "paths": list(leaf.paths), "reason": leaf.reason} for leaf in self.leaves
            ],
            "refused": [{"source": r.source, "target": r.target, "reason": r.reason} for r in self.refused],
        }


@dataclass(frozen=True, kw_only=True)
class ArtifactInspection:
    """The summary of an artifact, as `apply` printed it; among which draws it was chosen is not stored."""

    document: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return self.document


def run(  # noqa: PLR0913 - the options of the command
    model: str,
    *,
    weights: WeightsConfig = _OWN_WEIGHTS,
    download: bool = False,
    num_classes: int | None = None,
    input_size: tuple[int, ...] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
    **options: Unpack[PairOptions],
) -> Inspection | ArtifactInspection | FileInspection:
    """Inspect a model by name, an artifact or a run by its folder, or an ONNX file by its path; nothing is changed.

    `weights`: for a model by name, what is to fit into it; `download` allows fetching it. `options`: as for `inspect`.
    """
    wanted = SurgeryConfig.from_preset(density=1.0, seed=seed, **options)
    folder = Path(model)
    is_file, is_artifact = folder.suffix.lower() == ".onnx", (folder / MANIFEST).is_file() or is_run(folder)
    if is_file or is_artifact:
        of_model = {
            "download": download,
            "num_classes": num_classes,
            "input_size": input_size,
            **weights.weights_options,
        }
        _require_left_out("a file" if is_file else "an artifact", {**of_model, **options})
    if is_file:
        from n2nsurgery.export.proof.inspect_file import inspect_file  # a model needs no library of ONNX

        return inspect_file(folder)
    if is_artifact:
        artifact = read(folder / SURGERY if is_run(folder) else folder)
        return ArtifactInspection(
            document={"artifact": str(folder), **summary(artifact.plan, artifact.masks, artifact.record)}
        )
    progress(f"building {model}", 0.1)
    bundle = resolve_model(
        model, download=download, num_classes=num_classes, input_size=input_size, seed=seed, **weights.weights_options
    )
    progress("tracing", 0.4)
    return inspect_bundle(bundle, model, wanted)


def _require_left_out(what: str, options: Mapping[str, object]) -> None:
    """Return where none of `options`, which are of a model by its name, was given."""
    given = next((name for name, value in options.items() if value), None)
    if given is not None:
        raise UsageError(f"is for a model by its name; {what} is shown as it is", field=given, joint=" ")


@keywords_of(SurgeryConfig, PairOptions)
def inspect(
    model_or_name: nn.Module | str,
    *,
    example_inputs: Any = None,  # noqa: ANN401 - any input that a module takes
    seed: int = 0,
    **options: Unpack[PairOptions],
) -> Inspection:
    """Layers, pairs and rejections of a model, given as for `n2nsurgery.apply`.

    `options`: which pairs, with the names of `apply` (pairs, skip_length, skip_placement, ...).

        >>> import n2nsurgery
        >>> found = n2nsurgery.inspect("cifar-plain17")
        >>> len(found.graph.layers), len(found.pairs), found.pairs[0].source, found.pairs[0].target
        (18, 14, 'features.0', 'features.11')
    """
    require_known(options, PairOptions, "inspect")
    require_object(model_or_name)
    wanted = SurgeryConfig.from_preset(density=1.0, seed=seed, **options)
    bundle = bundle_of(model_or_name, example_inputs, seed)
    name = model_or_name if isinstance(model_or_name, str) else type(model_or_name).__name__
    return inspect_bundle(bundle, name, wanted)


def inspect_bundle(bundle: ModelBundle, name: str, wanted: SurgeryConfig) -> Inspection:
    """The inspection of a model that is already built, with the pairs that `wanted` asks for."""
    traced = trace(bundle.module, inputs_of(bundle))
    graph = layer_graph(traced)
    wanted = checked(wanted)
    length = skip_length_of(graph, wanted)
    pairs, rejected = places(graph, replace(wanted, skip_length=length))
    return Inspection(
        model=name,
        graph=graph,
        skip_length=length,
        pairs=pairs,
        refused=(*graph.refusals, *rejected),
        leaves=traced.leaves,
    )


def _layer(layer: WeightedLayer, weights: int) -> dict[str, Any]:
    return {
        "name": layer.name,
        "operator": layer.operator,
        "weight": layer.weight,
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "groups": layer.groups,
        "kernel": list(layer.kernel),
        "stride": list(layer.stride),
        "output": list(layer.output.shape),
        "weights": weights,
        "macs": layer.macs,
        "depth": layer.depth,
        "preactivation": layer.preactivation.address if layer.preactivation else None,
        "activation": layer.activation.address if layer.activation else None,
        "nonlinearity": layer.nonlinearity.name if layer.nonlinearity else None,
        "not_source": layer.not_source,
        "not_target": layer.not_target,
        "modes": list(layer.modes),
    }


def _pair(pair: LayerPair) -> dict[str, Any]:
    return {
        "source": pair.source,
        "target": pair.target,
        "length": pair.length,
        "capacity": _capacity(pair),
        "shortcut": pair.shortcut,
    }


def _capacity(pair: LayerPair) -> int:
    return pair.source_signal.channels * pair.target_signal.channels
