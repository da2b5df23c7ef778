"""A recipe carried out: model, data, surgery, training, export; in a folder that can be resumed and loaded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.core.processes.folder_lock import locked_folder
from n2nsurgery.core.progress import SILENT, Progress, part_of
from n2nsurgery.core.version import __version__
from n2nsurgery.data.pipeline.splits import DataSplits, Split
from n2nsurgery.data.torch_data.split_batches import SplitBatches, split_batches
from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.report import run as report_on
from n2nsurgery.pipelines.deploy.export import export_onnx
from n2nsurgery.pipelines.saved.load import load
from n2nsurgery.pipelines.saved.run_folder import MODEL, REPORT, SURGERY, content_of
from n2nsurgery.pipelines.sparse_twins import sparse_twin
from n2nsurgery.pipelines.training.data_facts import facts_of, missing_classes
from n2nsurgery.pipelines.training.run_recipe import (
    begin,
    clear_run,
    folder_of,
    is_begun,
    is_finished,
    require_admission,
    resolved,
    write_recipe,
)
from n2nsurgery.pipelines.training.teacher import teacher_of
from n2nsurgery.pipelines.training.train_request import AUTO, TrainRequest
from n2nsurgery.pipelines.training.training_outcome import TrainingOutcome
from n2nsurgery.pipelines.training.training_surgery import planned_surgery, sent
from n2nsurgery.pipelines.training.training_text import epoch_line, progress_line, step_line
from n2nsurgery.recipe.recipe import ArtifactRequest, Recipe, options_of
from n2nsurgery.surgery.artifact import Artifact
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.distributed.collectives import on_rank_zero, on_ranks, require_agreement
from n2nsurgery.training.distributed.distributed import joined
from n2nsurgery.training.distributed.stop import stops_at_once
from n2nsurgery.training.loop.batches import TrainData
from n2nsurgery.training.loop.components import NOTHING, OwnParts, components_of
from n2nsurgery.training.loop.events import Callbacks, EngineEvent
from n2nsurgery.training.loop.run import Undo, run_training
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.metrics.throughput import StepProgress
from n2nsurgery.training.state.outcome import TrainOutcome

LogLine = Callable[[str], None]
_STOPPED = "outside of training; nothing is lost, and the same command with --resume goes on"
_BEFORE, _AFTER, _REPORTED = 0.3, 0.9, 0.95  # parts of the whole: training begins and ends; the report begins


def run(  # noqa: PLR0913 - what a caller may bring beside the request
    request: TrainRequest,
    progress: Progress = SILENT,
    log: LogLine | None = None,
    *,
    splits: Callable[[], DataSplits] | None = None,
    own: OwnParts = NOTHING,
    callbacks: Callbacks | None = None,
) -> TrainingOutcome | None:
    """Carry out a recipe, in this process or as one of several (see `train.distributed`); None in all but the first.

    `log` is called with lines for a reader: what the data is, and the figures of every epoch. `splits` gives the data
    of the recipe where the caller has it already. `own`: loss, metrics, optimizer and scheduler in place of those of
    the recipe. Nothing is written for a dry run, and nothing is trained where the run is finished already. Raises the
    errors of reading the recipe, of `apply` and of `run_training`; InterruptionError
    where somebody asked for the end and the state is saved.
    """
    recipe = resolved(request)
    with joined(recipe.train.device, timeout=recipe.train.distributed_timeout) as processes, stops_at_once(_STOPPED):
        first = processes.rank == 0
        watched = (progress, log or _no_log) if first else (SILENT, _no_log)
        there = processes.all_reduce_any(first and own == NOTHING and is_finished(request, recipe))
        asked = replace(request, resume=AUTO) if there else request
        outcome = _Run(asked, recipe, processes, *watched, splits, own, callbacks or Callbacks()).run()
    return replace(outcome, already_there=there) if first else None


@dataclass(frozen=True, eq=False)
class _Run:
    """One run in one process."""

    request: TrainRequest
    recipe: Recipe
    processes: DistributedContext
    progress: Progress
    log: LogLine
    given: Callable[[], DataSplits] | None = None
    own: OwnParts = NOTHING
    callbacks: Callbacks = field(default_factory=Callbacks)

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return folder_of(self.request, self.recipe)

    def run(self) -> TrainingOutcome:
        """All of it, with the run's folder held by process 0."""
        require_agreement(self.processes, self._asked())
        with ExitStack() as held:
            if not self.request.dry_run:
                on_rank_zero(self.processes, lambda: self._admit(held))
            return self._run()

    def _asked(self) -> dict[str, Any]:
        """What every process has to be started with."""
        request = self.request
        named = {"--resume": request.resume is not None, "--overwrite": request.overwrite, "--dry-run": request.dry_run}
        named |= {"--allow-changes": request.allow_changes, "--download": request.download}
        return options_of(self.recipe) | named | {"version": __version__}

    def _run(self) -> TrainingOutcome:
        if self._done is not None:
            self.log(f"run: {self.folder}, gone on with")
        splits = self._splits()
        require_agreement(self.processes, facts_of(splits) if self.processes.size > 1 else {})
        for sentence in (*splits.description, *missing_classes(splits)):
            self.log(f"data: {sentence}")
        given, resumed = self._given()
        planned = planned_surgery(
            self.recipe, splits, download=self.request.download, allow_import=self.request.allow_import,
            given=given, resumed=resumed, progress=part_of(self.progress, 0, _BEFORE),
        )  # fmt: skip
        train, evaluations = self._loaders(splits)
        pruned = trained = exported = reported = None
        if not self.request.dry_run:
            pruned = planned.run(self.processes)
            self.processes.require_same("masks", pruned.masks.fingerprint)
            trained = self._train(pruned, splits, train, evaluations)
            faded = self.recipe.train.skip_fade is not None and self.processes.rank == 0
            last = partial(load, self.folder, allow_import=self.request.allow_import, last=True)
            pruned = last() if faded else pruned.present()
            exported = on_rank_zero(self.processes, self._export) if self.recipe.export is not None else None
            reported = on_rank_zero(self.processes, self._report_page) if self.recipe.report is not None else None
        return TrainingOutcome(
            recipe=self.recipe,
            run=None if self.request.dry_run else self.folder,
            plan=planned.plan if pruned is None else pruned.plan,
            pruned=pruned,
            data=splits.description,
            device=str(self.processes.device),
            processes=self.processes.size,
            steps_per_epoch=-(-len(train) // self.recipe.train.accumulate),
            trained=trained,
            exported=exported,
            reported=reported,
        )

    def _admit(self, held: ExitStack) -> None:
        """Return where the run may be begun or gone on with, and hold its folder; raises UsageError, RunError."""
        require_admission(self.folder, self.recipe, self.request)
        held.enter_context(locked_folder(self.folder))
        require_admission(self.folder, self.recipe, self.request)  # whoever held it until now may have made a run of it

    def _splits(self) -> DataSplits:
        """The data in every process; only the first of each machine may download it."""
        self.progress(f"reading {self.recipe.data.name}", 0.02)
        if self.given is not None:
            return self.given()
        load_data = partial(self.recipe.data.load, seed=self.recipe.seed)
        if self.processes.size == 1:
            return load_data(download=self.request.download)
        if self.request.download:
            on_ranks(self.processes, lambda: load_data(download=True), chosen=self.processes.local_rank == 0)
        return load_data(download=False)

    def _loaders(self, splits: DataSplits) -> tuple[SplitBatches, dict[str, SplitBatches]]:
        """Batches of training, the last one dropped where it is smaller; and of what is evaluated."""
        config = self.recipe.train
        config.local_batch(self.processes.size)

        def loader(split: Split, *, training: bool) -> SplitBatches:
            return split_batches(
                split,
                config.batch_size // config.accumulate,
                training=training,
                seed=config.seed,
                rank=self.processes.rank,
                world_size=self.processes.size,
                workers=self.recipe.data.workers,
            )

        evaluated = {split.name: split for split in (splits.validation, splits.test) if split is not None}
        return loader(splits.train, training=True), {
            name: loader(split, training=False) for name, split in evaluated.items()
        }

    def _given(self) -> tuple[Artifact | None, bool]:
        """The artifact of the pruning, where there is one, and whether this run made it; as process 0 finds it."""

        def found() -> Artifact | None:
            asked = self.recipe.surgery
            folder = asked.artifact if isinstance(asked, ArtifactRequest) else None
            folder = self._done or folder
            return content_of(folder) if folder is not None else None

        artifact = sent(self.processes, on_rank_zero(self.processes, found))
        return artifact, self.processes.all_reduce_any(self.processes.rank == 0 and self._done is not None)

    @property
    def _done(self) -> Path | None:
        """The pruning artifact, where this run goes on after it; only the machine of process 0 has it for sure."""
        goes_on = self.request.resume is not None and not self.request.dry_run and is_begun(self.folder)
        return self.folder / SURGERY if goes_on else None

    def _begin(self, pruned: PrunedModel) -> Undo | None:
        if self._done is None:
            begin(self.folder, self.recipe, pruned)
            self.log(f"run: {self.folder}, begun")
            return partial(clear_run, self.folder)
        if not self.request.allow_changes:
            write_recipe(self.folder, self.recipe)  # it trains the same; what is made of it may be new
        return None

    def _train(
        self, pruned: PrunedModel, splits: DataSplits, train: SplitBatches, evaluations: dict[str, SplitBatches]
    ) -> TrainOutcome:
        def mixed(inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            return self.recipe.data.mixed(inputs, targets, splits.classes, generator)

        mixing = mixed if self.recipe.data.mixing is not None else None
        return run_training(
            pruned.module,
            TrainData(train=train, evaluations=evaluations, mixing=mixing),
            self.recipe.train,
            folder=self.folder,
            components=components_of(self.recipe.train, self._own(splits)),
            callbacks=replace(
                self.callbacks, on_step=self._step_done, on_epoch=self._epoch_done, on_engine=self._engine_chosen
            ),
            processes=self.processes, resume=self.request.resume is not None, overwrite=self.request.overwrite,
            allow_changes=self.request.allow_changes, begin=partial(self._begin, pruned),
            run_id=self.recipe.subject, twins=sparse_twin,
            branches=tuple(skip.name for skip in pruned.plan.skips),
        )  # fmt: skip

    def _own(self, splits: DataSplits) -> OwnParts:
        """What the caller brought, with the teacher that the recipe names where it names one."""
        distillation = self.recipe.train.distillation
        if distillation is None or self.own.teacher is not None or distillation.teacher is None:
            return self.own
        self.progress(f"loading the teacher {distillation.teacher}", _BEFORE)
        teacher = teacher_of(
            distillation,
            splits,
            seed=self.recipe.seed,
            download=self.request.download,
            allow_import=self.request.allow_import,
        )
        return replace(self.own, teacher=teacher)

    def _engine_chosen(self, event: EngineEvent) -> None:
        self.log(f"engine: {event.record.sentence(event.measured_gain)}")
        self.callbacks.on_engine(event)

    def _step_done(self, step: StepProgress) -> None:
        if step.loss is not None:
            self.log(step_line(step))
        self.callbacks.on_step(step)
        self.progress(progress_line(step), _BEFORE + (_AFTER - _BEFORE) * step.step / step.steps)

    def _epoch_done(self, record: EpochRecord) -> None:
        self.log(epoch_line(record, self.recipe.train.epochs))
        self.callbacks.on_epoch(record)
        if self.processes.rank == 0 and self.request.allow_changes:
            write_recipe(self.folder, self.recipe)  # training has accepted what changed

    def _export(self) -> ExportReport:
        assert self.recipe.export is not None
        self.progress("exporting", _AFTER)
        best = load(self.folder, allow_import=self.request.allow_import)
        return export_onnx(best, self.folder / MODEL, overwrite=True, config=self.recipe.export)

    def _report_page(self) -> Path:
        assert self.recipe.report is not None
        self.progress("reporting", _REPORTED)
        request = GraphRequest(
            model=str(self.folder), allow_import=self.request.allow_import, **asdict(self.recipe.report)
        )
        report_on(request, output=self.folder / REPORT, overwrite=True)
        return self.folder / REPORT


def _no_log(_line: str) -> None:
    pass
