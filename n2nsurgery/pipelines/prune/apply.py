"""The main job: a model in, a pruned and grafted network out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor, nn

from n2nsurgery.core.config.signature import keywords_of
from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.files import ensure_writable
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.core.sealed_folder import MANIFEST, require_nothing_else
from n2nsurgery.data.pipeline.batch import Batch
from n2nsurgery.data.pipeline.batch import batches as batches_of
from n2nsurgery.data.pipeline.noise import noise_batches
from n2nsurgery.graph.tracing.trace import Trace, trace
from n2nsurgery.masks.attachment import require_unpruned
from n2nsurgery.masks.criterion import Criterion
from n2nsurgery.masks.scoring.context import SINGLE_PROCESS
from n2nsurgery.masks.scoring.loss import cross_entropy
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest
from n2nsurgery.pipelines.prune.arguments import config_of, require_object
from n2nsurgery.pipelines.prune.choose_draw import DrawChoice, choose_by_scatter
from n2nsurgery.pipelines.prune.given_model import bundle_of, inputs_of
from n2nsurgery.pipelines.prune.plan_of import plan_of
from n2nsurgery.pipelines.prune.same_artifact import artifact_of_plan, plan_decides, save_or_find
from n2nsurgery.pipelines.saved.run_folder import ARTIFACTS
from n2nsurgery.surgery.artifact import Artifact
from n2nsurgery.surgery.engines.carry_out import operand
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.keywords import SurgeryOptions
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import checked, criterion_of
from n2nsurgery.surgery.planning.presets import Preset
from n2nsurgery.surgery.prune import ScoringData, assist, prune
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.summary import density_of, model_name, summary
from n2nsurgery.training.config.device import choose_device

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class ApplyOutcome:
    """What `apply` did: the plan; unless it was a dry run the pruned network; and where the artifact lies.

    `choice`: which of several drawn patterns was taken, where there were several. `found`: the artifact that was there
    already, with the content that was asked for; then nothing was written.
    """

    plan: SurgeryPlan
    pruned: PrunedModel | None
    artifact: Path | None
    choice: DrawChoice | None = None
    found: Artifact | None = None

    def to_json(self) -> dict[str, Any]:
        """The document that `apply --json` prints."""
        result = self.pruned if self.pruned is not None else self.found
        done = (result.masks, result.record) if result is not None else (None, None)
        artifact = str(self.artifact) if self.artifact else None
        choice = {} if self.choice is None else {"choice": self.choice.sentence}
        return {"artifact": artifact, "already_there": self.found is not None, **summary(self.plan, *done), **choice}


@keywords_of(SurgeryConfig, SurgeryOptions)
def apply(  # noqa: PLR0913 - every argument is an option of one operation
    model_or_name: nn.Module | str,
    *,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    data: Any = None,  # noqa: ANN401 - batches in any of the usual forms
    loss: Callable[[Any, Tensor], Tensor] = cross_entropy,
    config: SurgeryConfig | None = None,
    preset: Preset | None = None,
    criterion: str | Criterion | None = None,
    inplace: bool = False,
    **options: Unpack[SurgeryOptions],
) -> PrunedModel:
    """Prune a model to a share of its conv and linear weights and graft skip connections within that budget.

    `model_or_name`: an nn.Module (a copy is pruned; with `inplace` the object itself) or a name that
    `n2nsurgery models` lists. `example_inputs`: a tensor, positional inputs or inputs by name, batch first; needed for
    an nn.Module. `data`: for criteria that look at data: (inputs, targets), a list of those, or a DataLoader; without
    it seeded noise is used, and recorded as such. `loss`: maps all that the model returns and the targets to a scalar;
    by default it is the cross-entropy of the first output.

    What is asked has the names of the options of `n2nsurgery apply`; each is a field of SurgeryConfig. One of
    `density`, `sparsity` and `compression` is needed, or `fan_out` or `junction_density` by layer. `config` holds all
    of them in one value, and `options` beside it replace some. `preset`: values in place of defaults. `criterion`:
    a name, or an object that draws or scores; `allocation`, `granularity`, `skip` and `skip_allocation` may be objects
    of their kinds as well.

        apply("resnet50", density=0.05)
        apply(net, example_inputs=images, sparsity=0.9, criterion="snip", data=loader, ignore=["fc"])
        apply(net, example_inputs=images, preset="paper", density=0.1)

    Four layers of 64 units, at a tenth of their weights:

        >>> import n2nsurgery, torch
        >>> layers = [part for _ in range(4) for part in (torch.nn.Linear(64, 64), torch.nn.ReLU())]
        >>> n2nsurgery.apply(torch.nn.Sequential(*layers), example_inputs=torch.zeros(2, 64), density=0.1)
        PrunedModel(Sequential, 1,638 of 16,384 weights (10 %), 2 skips with 128 of them)

    Raises UsageError (wrong value), UnknownNameError (wrong name), BudgetError (does not fit), TraceError.
    """
    require_object(model_or_name)
    asked, scorer = config_of(config, preset, criterion, options)
    asked = checked(asked, scorer)
    bundle = bundle_of(model_or_name, example_inputs, asked.seed)
    batches = batches_of(data) if data is not None else None
    pruning = PruningRun(bundle, asked, criterion=scorer, inplace=inplace)
    if asked.select_by is not None:
        pruning.choose_draw()
    pruned = pruning.run(batches, loss=loss)
    for warning in pruned.record.warnings:
        _LOG.warning("%s", warning)
    return pruned


def run(request: ApplyRequest, progress: Progress = SILENT) -> ApplyOutcome:
    """Run a command-line request: resolve the model, plan, prune, write the artifact.

    Nothing is written for a dry run. Raises the errors of `apply`, and RunError where the artifact cannot be written.
    """
    choose_device(request.device)  # before the work starts, and for a dry run
    progress(f"building {request.model}", 0.05)
    config = checked(request.surgery)
    bundle = resolve_model(
        request.model, download=request.download, num_classes=request.num_classes, input_size=request.input_size,
        seed=config.seed, **request.weights_options,
    )  # fmt: skip
    pruning = PruningRun(bundle, config, progress)
    if config.select_by is not None:
        pruning.choose_draw()
    folder = request.output or ARTIFACTS / _folder_name(pruning.plan)
    if request.dry_run:
        return ApplyOutcome(plan=pruning.plan, pruned=None, artifact=None, choice=pruning.choice)
    found = None if request.overwrite else artifact_of_plan(folder, pruning.plan)
    if found is None:
        ensure_writable(folder, overwrite=request.overwrite, marker=MANIFEST)
        require_nothing_else(folder)
    pruned = None
    if found is None or not plan_decides(pruning.plan, request, bundle, pruning.criterion):
        pruned = pruning.run(None, device=request.device)
        progress("writing the artifact", 0.9)
        found = save_or_find(pruned, folder, overwrite=request.overwrite)
    if found is not None:
        with suppress(OSError):  # a folder that cannot be written keeps its place among the results
            (folder / MANIFEST).touch()  # the newest result again, which `export` and `report` take
    return ApplyOutcome(plan=pruning.plan, pruned=pruned, artifact=folder, choice=pruning.choice, found=found)


class PruningRun:
    """One model and what is to be done to it; traced and planned when made, run once.

    `criterion`: the object, where no registry has the one that `config` names.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        config: SurgeryConfig,
        progress: Progress = SILENT,
        *,
        criterion: Criterion | None = None,
        inplace: bool = False,
    ) -> None:
        require_unpruned(bundle.module)
        self.bundle = bundle
        self.criterion = criterion if criterion is not None else criterion_of(config)
        self.progress = progress
        self.choice: DrawChoice | None = None
        self.progress("tracing", 0.2)
        inputs = inputs_of(bundle)
        self.trace: Trace = trace(bundle.module, inputs)
        self.progress("planning", 0.5)
        self.plan = plan_of(bundle, inputs, self.trace, config, criterion)
        if self.plan.engine.engine == "hooks":
            self.trace = replace(self.trace, inplace=inplace)
        elif inplace:
            raise UsageError(
                "needs the engine 'hooks', which 'auto' could not take or 'rewrite' excludes",
                field="inplace",
                joint=" ",
            )

    def choose_draw(self) -> None:
        """Plan with the pattern of highest scatter among the candidates."""
        self.progress("drawing patterns", 0.55)
        self.choice = choose_by_scatter(self.plan, self.criterion)
        self.plan = replace(self.plan, config=replace(self.plan.config, draw=self.choice.draw))

    def run(
        self,
        batches: Sequence[Batch] | None,
        *,
        device: str | None = None,
        loss: Callable[[Any, Tensor], Tensor] = cross_entropy,
        processes: DistributedContext = SINGLE_PROCESS,
    ) -> PrunedModel:
        """Prune, on `device` or where the model is; with noise where the criterion needs data and none was given.

        `processes`: the processes that score together; those that do not prune call `assist` meanwhile.
        """
        if batches is None:
            batches = self._noise()
        data = self._data(batches, device, loss, processes)
        self.progress("pruning", 0.6)
        return prune(
            self.trace,
            self.plan,
            data,
            progress=part_of(self.progress, 0.6, 0.9),
            criterion=self.criterion,
        )

    def assist(self, batches: Sequence[Batch], *, device: str, processes: DistributedContext) -> None:
        """Score this process's part of `batches` for the process that prunes; `trace` stays ready to be replayed."""
        assist(self.trace, self.plan, self._data(batches, device, cross_entropy, processes))

    def _noise(self) -> list[Batch] | None:
        needs = self.criterion.needs
        if needs not in {"inputs", "batches"}:
            return None
        if needs == "batches":
            _LOG.warning("the criterion '%s' has no data: it scores seeded noise", self.plan.config.criterion)
        config = self.plan.config
        return noise_batches(
            self.bundle.example_inputs, count=config.batches, batch_size=config.batch_size, seed=config.seed
        )

    def _data(
        self,
        batches: Sequence[Batch] | None,
        device: str | None,
        loss: Callable[[Any, Tensor], Tensor],
        processes: DistributedContext,
    ) -> ScoringData:
        """What the criterion looks at, with the model where it is scored.

        Several processes score the weights of the first.
        """
        looks = self.criterion.needs in {"inputs", "batches"}
        if not looks and batches is not None:
            _LOG.warning("the criterion '%s' looks at no data: what was given is not used", self.plan.config.criterion)
        used = tuple(batches or ()) if looks else ()
        module = operand(self.trace, self.plan)
        if device is not None:
            module.to(choose_device("cpu" if device == "auto" and not used else device))
        processes.broadcast([*module.parameters(), *module.buffers()])
        return ScoringData(
            batches=[(batch.inputs, batch.targets) for batch in used],
            input_names=self.bundle.input_names,
            origin=used[0].origin if used else None,
            loss=loss,
            processes=processes,
        )


def _folder_name(plan: SurgeryPlan) -> str:
    """`<model>-<criterion>-<skip>-d<density>-s<seed>`, unique by the plan's fingerprint."""
    model = re.sub(r"[^A-Za-z0-9_]+", "_", model_name(plan))
    config = plan.config
    return f"{model}-{config.criterion}-{config.skip}-d{density_of(plan):.4g}-s{config.seed}-{plan.fingerprint[:8]}"
