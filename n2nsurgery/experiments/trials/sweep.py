"""A sweep over junction densities: every way of sharing a fixed number of weights in whole fan-outs, trained.

What varies is how the density is divided between the linear layers; what they keep in all stays the same to the last
weight. All else is as the recipe says.
Source: "Characterizing sparse connectivity patterns in neural networks", section 2.4 and Fig. 3(b), (c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from n2nsurgery.core.errors import BudgetError, UsageError
from n2nsurgery.core.names import select
from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.experiments.trials.evenly import evenly
from n2nsurgery.experiments.trials.grid import run_grid
from n2nsurgery.experiments.trials.jobs import run_all, worker_slots
from n2nsurgery.experiments.trials.paired import SampleStats
from n2nsurgery.experiments.trials.sweep_request import SweepRequest
from n2nsurgery.experiments.trials.trial import Trial, splits_of
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.graph.layers.layering import layer_graph
from n2nsurgery.graph.tracing.trace import trace
from n2nsurgery.masks.patterns.fans import Junction, fan_in_of, fan_out_settings, nearest_edges
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.prune.given_model import inputs_of
from n2nsurgery.pipelines.training.fitted import fitted_bundle
from n2nsurgery.recipe.overrides import parse_override
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.surgery.planning.config import SurgeryConfig

SWEEPS = Path("sweeps")
_FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class SweepSetting:
    """One setting: fans and density of each layer, and where it was trained the test accuracies in percent by seed."""

    fan_outs: tuple[int, ...]
    fan_ins: tuple[int, ...]
    densities: tuple[float, ...]
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """The layers that share `weights`, the settings in ascending order of the first fan-out, and the runs' folder.

    `failures`: runs that could not be carried out, and why.
    """

    layers: tuple[str, ...]
    weights: int
    settings: tuple[SweepSetting, ...]
    folder: Path | None = None
    failures: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document that `sweep --json` prints."""
        best = max((s for s in self.settings if s.accuracies), key=_mean, default=None)
        return {
            **asdict(self),
            "folder": str(self.folder) if self.folder else None,
            "best": None if best is None else list(best.fan_outs),
        }


def run(request: SweepRequest, progress: Progress = SILENT) -> SweepOutcome:
    """Run a sweep; what an earlier one has finished in the same folder is used again.

    Raises the errors of a recipe, UnknownNameError for a pattern that matches nothing, BudgetError where no setting of
    whole fan-outs has that density.
    """
    recipe = _recipe(request)
    progress("looking for settings", 0.02)
    weights = _swept(recipe, request)
    shapes = [(weight.shape[0], weight.shape[1]) for weight in weights]
    edges = round(request.density * sum(weight.numel for weight in weights))
    settings = _settings(shapes, edges, request)
    names = tuple(weight.layer for weight in weights)
    found = tuple(_setting(shapes, fans) for fans in settings)
    if request.list_only:
        return SweepOutcome(layers=names, weights=edges, settings=found)
    folder = request.output or SWEEPS / f"{request.recipe.stem}-d{request.density:g}"
    results = run_grid(
        settings,
        range(recipe.seed, recipe.seed + request.seeds),
        lambda fans, seed: _trial(recipe, names, fans, seed, request),
        folder,
        lambda jobs: run_all(jobs, folder, worker_slots(request.device, request.workers), progress),
    )
    trained = tuple(replace(one, accuracies=results.stats(one.fan_outs).values) for one in found)
    return SweepOutcome(layers=names, weights=edges, settings=trained, folder=folder, failures=results.failures)


def _recipe(request: SweepRequest) -> Recipe:
    overrides = [parse_override(text) for text in request.overrides]
    recipe = read_recipe(request.recipe, overrides, allow_import=request.allow_import)
    recipe.data.require_allowed(allow_import=request.allow_import)
    if recipe.model is None:
        raise UsageError("the recipe trains an artifact; a sweep prunes a model of its own: give model.name")
    if request.data_root is not None:
        recipe = replace(recipe, data=replace(recipe.data, root=request.data_root))
    return replace(recipe, export=None, report=None)


def _swept(recipe: Recipe, request: SweepRequest) -> list[PrunableWeight]:
    """The linear layers that share the weights, in the order of execution."""
    bundle = _bundle(recipe, request)
    graph = layer_graph(trace(bundle.module, inputs_of(bundle)))
    linear = [weight for weight in graph.weights if weight.layout == "linear"]
    names = [weight.layer for weight in linear]
    chosen = {name for pattern in request.layer for name in select(pattern, names, kind="linear layer")}
    swept = [weight for weight in linear if not chosen or weight.layer in chosen]
    if len(swept) < _FEWEST:
        raise UsageError(f"a sweep divides a density between linear layers, and there are {len(swept)} of them")
    return swept


def _bundle(recipe: Recipe, request: SweepRequest) -> ModelBundle:
    """The model for the recipe's data, which a list alone does not need where the recipe says what it would tell."""
    model = recipe.model
    assert model is not None
    if request.list_only and model.input_size is not None and model.num_classes is not None:
        return resolve_model(
            model.name, seed=recipe.seed, **model.weights_options, num_classes=model.num_classes,
            input_size=model.input_size, options=model.options, allow_import=request.allow_import,
            download=request.download,
        )  # fmt: skip
    splits = splits_of(recipe.data, recipe.seed, download=request.download)
    return fitted_bundle(model, splits, seed=recipe.seed, download=request.download)


def _settings(shapes: Sequence[Junction], edges: int, request: SweepRequest) -> tuple[tuple[int, ...], ...]:
    every = tuple(fan_out_settings(shapes, edges))
    if not every:
        dense = sum(n_out * n_in for n_out, n_in in shapes)
        nearest = " and ".join(f"{near / dense:.8g} ({near:,} edges)" for near in nearest_edges(shapes, edges))
        raise BudgetError(
            f"is {request.density:g}: no whole fan-outs have {edges:,} of {dense:,} edges; nearest are {nearest}",
            field="density", joint=" ",
        )  # fmt: skip
    return every if request.count is None else evenly(every, request.count)


def _setting(shapes: Sequence[Junction], fans: tuple[int, ...]) -> SweepSetting:
    pairs = list(zip(shapes, fans, strict=True))
    return SweepSetting(
        fan_outs=fans,
        fan_ins=tuple(fan_in_of(*shape, fan) for shape, fan in pairs),
        densities=tuple(fan / n_out for (n_out, _), fan in pairs),
    )


def _trial(recipe: Recipe, names: tuple[str, ...], fans: tuple[int, ...], seed: int, request: SweepRequest) -> Trial:
    asked = recipe.surgery if isinstance(recipe.surgery, SurgeryConfig) else SurgeryConfig(density=1.0, skip="none")
    surgery = replace(
        asked, density=None, sparsity=None, compression=None, junction_density={}, criterion="fixed-fan",
        allocation=None, fan_out=dict(zip(names, fans, strict=True)),
    )  # fmt: skip
    own = replace(recipe, seed=seed, surgery=surgery, train=replace(recipe.train, seed=seed))
    name = f"fo-{'-'.join(map(str, fans))}"
    return Trial(name=name, recipe=own, download=request.download, allow_import=request.allow_import)


def _mean(setting: SweepSetting) -> float:
    return SampleStats(values=setting.accuracies).mean
