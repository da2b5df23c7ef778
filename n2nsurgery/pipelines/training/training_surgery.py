"""Pruning before training: planned from a recipe, run once, read from the run's folder ever after.

Of several processes the first one prunes, and the others get its plan, record, masks and weights. Where a criterion
looks at data, each of them scores its part of the mini-batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.core.progress import Progress
from n2nsurgery.data.pipeline.batch import Batch
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.pipelines.prune.apply import PruningRun
from n2nsurgery.pipelines.saved.load import revived
from n2nsurgery.pipelines.training.fitted import fitted_bundle, require_fit, require_samples, shapes_of
from n2nsurgery.recipe.recipe import ArtifactRequest, Recipe
from n2nsurgery.surgery.artifact import Artifact, artifact_of, files_of
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import checked, criterion_of
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.replay import replay
from n2nsurgery.surgery.summary import model_name
from n2nsurgery.training.distributed.collectives import broadcast_from_rank_zero, on_rank_zero


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """What will be done; `run` is called once, by all processes that train, and gives each the same network."""

    plan: SurgeryPlan
    run: Callable[[DistributedContext], PrunedModel]


def planned_surgery(  # noqa: PLR0913 - what the command line permits
    recipe: Recipe,
    splits: DataSplits,
    *,
    progress: Progress,
    download: bool = False,
    allow_import: bool = False,
    given: Artifact | None = None,
    resumed: bool = False,
) -> Planned:
    """The pruning that `recipe` asks for on a model that fits `splits`.

    Without a surgery section every weight is kept and nothing is grafted. `given`: the artifact of this pruning,
    where it was carried out before; the run has it already where it is `resumed`. Raises UsageError where model and
    data do not agree, and the errors of `apply` and `load`.
    """
    if given is not None:
        module = None
        if not resumed and recipe.model is not None:  # the artifact has to be one of that model
            bundle = fitted_bundle(recipe.model, splits, seed=recipe.seed, download=download, allow_import=allow_import)
            module = bundle.module
        pruned = _given(given, recipe.model, splits, module, allow_import=allow_import)
        return Planned(plan=pruned.plan, run=lambda _world: pruned)
    assert recipe.model is not None  # the recipe has been resolved
    progress(f"building {recipe.model.name}", 0.05)
    bundle = fitted_bundle(recipe.model, splits, seed=recipe.seed, download=download, allow_import=allow_import)
    request = recipe.surgery
    assert not isinstance(request, ArtifactRequest)
    config = checked(replace(request, seed=recipe.seed)) if request is not None else _dense(recipe.seed)
    pruning = PruningRun(bundle, config, progress)
    if config.select_by is not None:
        pruning.choose_draw()

    def run(processes: DistributedContext) -> PrunedModel:
        batches = _scoring_batches(recipe, config, splits)
        return _everywhere(pruning, batches, processes)

    return Planned(plan=pruning.plan, run=run)


def sent(processes: DistributedContext, artifact: Artifact | None) -> Artifact | None:
    """The `artifact` of process 0 in every process; it needs no file that they have in common."""
    files = broadcast_from_rank_zero(processes, files_of(artifact) if artifact is not None else None)
    return artifact_of(files) if files is not None and processes.rank else artifact


def _everywhere(pruning: PruningRun, batches: list[Batch] | None, processes: DistributedContext) -> PrunedModel:
    """The network that process 0 pruned, in every process.

    Processes that score together do not ask each other whether one has failed: whoever waits for it then fails, too.
    """
    processes.require_same("plans", pruning.plan.fingerprint)
    device = str(processes.device)
    pruned: PrunedModel | None = None
    if batches is None or pruning.criterion.needs != "batches":
        pruned = on_rank_zero(processes, lambda: pruning.run(batches, device=device if batches else None))
    elif processes.rank == 0:
        pruned = pruning.run(batches, device=device, processes=processes)
    else:
        pruning.assist(batches, device=device, processes=processes)
    content = sent(processes, _content(pruned) if pruned is not None and processes.size > 1 else None)
    if pruned is None:
        assert content is not None  # process 0 has pruned
        pruned = replay(pruning.trace, content.plan, content.record, content.masks, content.state)
    return pruned


def _content(pruned: PrunedModel) -> Artifact:
    return Artifact(
        folder=Path(),
        plan=pruned.plan,
        record=pruned.record,
        masks=pruned.masks,
        state=pruned.module.state_dict(),
    )


def _dense(seed: int) -> SurgeryConfig:
    return SurgeryConfig(density=1.0, skip="none", seed=seed)


def _given(
    content: Artifact, asked: ModelConfig | None, splits: DataSplits, module: nn.Module | None, *, allow_import: bool
) -> PrunedModel:
    """The network of an artifact, on the dense `module` where there is one."""
    plan = content.plan
    require_samples(model_name(plan), shapes_of(plan), splits)
    if plan.model is None:
        raise UsageError(
            f"'{content.folder}' was made from a {plan.model_class} object, which no run can build again: "
            "prune a model with a name"
        )
    pruned = revived(content, module, allow_import=allow_import)
    require_fit(plan, pruned.module, splits, num_classes=asked.num_classes if asked is not None else None)
    return pruned


def _scoring_batches(recipe: Recipe, config: SurgeryConfig, splits: DataSplits) -> list[Batch] | None:
    """The first batches of training data, where the criterion looks at data; they depend on the seed alone."""
    if criterion_of(config).needs not in {"inputs", "batches"}:
        return None
    if splits.train.size < config.batch_size:
        raise UsageError(
            f"surgery.batch_size is {config.batch_size}, and the training split has {splits.train.size} samples: take "
            "at most as many"
        )
    loader = Loader(
        splits.train, config.batch_size, shuffle=True, seed=recipe.seed, augment=True, drop_last=True,
        limit=config.batches,
    )  # fmt: skip
    if len(loader) < config.batches:
        raise UsageError(
            f"is {config.batches}, but the training split has {len(loader)} batches of surgery.batch_size "
            f"{config.batch_size}: take fewer or smaller ones",
            field="surgery.batches",
            joint=" ",
        )
    origin = f"{recipe.data.name}(train,seed={recipe.seed},batch_size={config.batch_size},count={config.batches})"
    return [Batch(inputs=(inputs,), targets=targets, origin=origin) for inputs, targets in loader.epoch(0)]
