"""The operation before training: planned from a recipe, carried out once, read from the run's folder ever after.

Of several processes the first one operates, and the others get its plan, record, masks and weights. Where a criterion
looks at data, each of them scores its part of the mini-batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from n2nsurgery.core.errors import UsageError
from n2nsurgery.data.pipeline.batch import Batch
from n2nsurgery.data.pipeline.loader import Loader
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.models.request import ModelRequest
from n2nsurgery.pipelines.prune.apply import Operation, Report
from n2nsurgery.pipelines.prune.surgery_config import surgery_config
from n2nsurgery.pipelines.saved.load import revived
from n2nsurgery.pipelines.training.fitted import fitted_patient, require_fit, require_samples, shapes_of
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.surgery.artifact import Artifact, artifact_of, files_of
from n2nsurgery.surgery.operated import Operated
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import criterion_of
from n2nsurgery.surgery.planning.request import ArtifactRequest, SurgeryRequest
from n2nsurgery.surgery.replay import replay
from n2nsurgery.surgery.summary import model_name
from n2nsurgery.train.distributed.together import by_first, from_first
from n2nsurgery.train.distributed.world import World


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned:
    """What will be done; `carry_out` is called once, by all processes that train, and gives each the same network."""

    plan: SurgeryPlan
    carry_out: Callable[[World], Operated]


def planned_surgery(  # noqa: PLR0913 - what the command line permits
    recipe: Recipe,
    splits: DataSplits,
    *,
    report: Report,
    download: bool = False,
    allow_import: bool = False,
    given: Artifact | None = None,
    resumed: bool = False,
) -> Planned:
    """The operation that `recipe` asks for on a model that fits `splits`.

    Without a surgery section every weight is kept and nothing is grafted. `given`: the artifact of this operation,
    where it was carried out before; the run has it already where it is `resumed`. Raises UsageError where model and
    data do not agree, and the errors of `apply` and `load`.
    """
    if given is not None:
        module = None
        if not resumed and recipe.model is not None:  # the artifact has to be one of that model
            patient = fitted_patient(
                recipe.model, splits, seed=recipe.seed, download=download, allow_import=allow_import
            )
            module = patient.module
        operated = _given(given, recipe.model, splits, module, allow_import=allow_import)
        return Planned(plan=operated.plan, carry_out=lambda _world: operated)
    assert recipe.model is not None  # the recipe has been resolved
    report(f"building {recipe.model.name}", 0.05)
    patient = fitted_patient(recipe.model, splits, seed=recipe.seed, download=download, allow_import=allow_import)
    request = recipe.surgery
    assert not isinstance(request, ArtifactRequest)
    config = surgery_config(request, recipe.seed) if request is not None else _dense(recipe.seed)
    operation = Operation(patient, config, report)
    if request is not None and request.select is not None:
        operation.choose_draw(request.tries)

    def carry_out(world: World) -> Operated:
        batches = _scoring_batches(recipe, request, splits) if request is not None else None
        return _everywhere(operation, batches, world)

    return Planned(plan=operation.plan, carry_out=carry_out)


def sent(world: World, artifact: Artifact | None) -> Artifact | None:
    """The `artifact` of process 0 in every process; it needs no file that they have in common."""
    files = from_first(world, files_of(artifact) if artifact is not None else None)
    return artifact_of(files) if files is not None and world.rank else artifact


def _everywhere(operation: Operation, batches: list[Batch] | None, world: World) -> Operated:
    """The network that process 0 operated on, in every process.

    Processes that score together do not ask each other whether one has failed: whoever waits for it then fails, too.
    """
    world.require_same("plans", operation.plan.fingerprint)
    device = str(world.device)
    operated: Operated | None = None
    if batches is None or criterion_of(operation.plan.config).needs != "batches":
        operated = by_first(world, lambda: operation.carry_out(batches, device=device if batches else None))
    elif world.rank == 0:
        operated = operation.carry_out(batches, device=device, crew=world)
    else:
        operation.assist(batches, device=device, crew=world)
    content = sent(world, _content(operated) if operated is not None and world.size > 1 else None)
    if operated is None:
        assert content is not None  # process 0 has operated
        operated = replay(operation.trace, content.plan, content.record, content.masks, content.state)
    return operated


def _content(operated: Operated) -> Artifact:
    return Artifact(
        folder=Path(),
        plan=operated.plan,
        record=operated.record,
        masks=operated.masks,
        state=operated.module.state_dict(),
    )


def _dense(seed: int) -> SurgeryConfig:
    return SurgeryConfig(density=1.0, skip="none", seed=seed)


def _given(
    content: Artifact, asked: ModelRequest | None, splits: DataSplits, module: nn.Module | None, *, allow_import: bool
) -> Operated:
    """The network of an artifact, on the dense `module` where there is one."""
    plan = content.plan
    require_samples(model_name(plan), shapes_of(plan), splits)
    if plan.model is None:
        raise UsageError(
            f"'{content.folder}' was made from a {plan.model_class} object, which no run can build again: "
            "operate on a model with a name"
        )
    operated = revived(content, module, allow_import=allow_import)
    require_fit(plan, operated.module, splits, told=asked.num_classes if asked is not None else None)
    return operated


def _scoring_batches(recipe: Recipe, request: SurgeryRequest, splits: DataSplits) -> list[Batch] | None:
    """The first batches of training data, where the criterion looks at data; they depend on the seed alone."""
    if criterion_of(surgery_config(request, recipe.seed)).needs not in {"inputs", "batches"}:
        return None
    loader = Loader(
        splits.train, request.batch_size, shuffle=True, seed=recipe.seed, augment=True, drop_last=True,
        limit=request.batches,
    )  # fmt: skip
    if len(loader) < request.batches:
        raise UsageError(
            f"surgery.batches is {request.batches}, but the training split has {len(loader)} batches of "
            f"{request.batch_size}: take fewer or smaller ones"
        )
    origin = f"{recipe.data.name}(train,seed={recipe.seed},batch_size={request.batch_size},count={request.batches})"
    return [Batch(inputs=(inputs,), targets=targets, origin=origin) for inputs, targets in loader.epoch(0)]
