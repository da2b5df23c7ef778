"""The loop: epochs of steps, each epoch measured, evaluated, written down and saved; stopped at a step boundary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import torch

from n2nsurgery.core.errors import InterruptionError, UsageError
from n2nsurgery.core.processes.distributed_context import DistributedContext
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.distributed.stop_agreement import StopAgreement
from n2nsurgery.training.engine.choice import EngineRequest
from n2nsurgery.training.loop.batches import Batches, Pair, TrainData, grouped, with_inputs
from n2nsurgery.training.loop.evaluation import EvaluationStopped, evaluate
from n2nsurgery.training.loop.events import Callbacks, CheckpointEvent, EngineEvent
from n2nsurgery.training.loop.step import optimizer_step
from n2nsurgery.training.loop.train_state import TrainState
from n2nsurgery.training.metrics.digests import digest
from n2nsurgery.training.metrics.meter import Score
from n2nsurgery.training.metrics.metrics import write_metrics
from n2nsurgery.training.metrics.record import (
    EpochRecord,
    EvaluationRecord,
    Timing,
    evaluation_record,
    finite_metrics,
    ranking_score,
)
from n2nsurgery.training.metrics.throughput import StepProgress, Throughput
from n2nsurgery.training.state.checkpoints import Checkpoints
from n2nsurgery.training.state.saved_state import Identity, Position, SavedState

_LOOKED_UP_EVERY = 64  # steps: how often a GPU is asked whether every loss was finite


@dataclass(kw_only=True, eq=False)
class Trainer:
    """One run under way; `run` carries it on from `position` to its end.

    `engine_request`: what the engine was chosen by. `begun`: the batches of the epoch at `position`, where somebody has
    looked at the first.
    """

    train_state: TrainState
    data: TrainData
    config: TrainConfig
    identity: Identity
    processes: DistributedContext
    store: Checkpoints
    folder: Path
    stopped: Callable[[], str | None]
    callbacks: Callbacks
    engine_request: EngineRequest
    begun: Iterator[Pair] | None = None
    position: Position = field(default_factory=Position)
    history: list[EpochRecord] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Begin to ask each other for the wish to stop."""
        self._agreement = StopAgreement(self.processes, self.stopped)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; the last group may hold fewer batches."""
        return -(-len(self.data.train) // self.config.accumulate)

    def run(self) -> None:
        """Train to the last epoch. Raises InterruptionError once a wish to stop is granted and the state is saved."""
        while self.position.epoch < self.config.epochs and not self.out_of_patience:
            self._choose_engine()
            self._steps()
            self._close_epoch()
            if self._agreement.now():
                self._leave()

    @property
    def out_of_patience(self) -> bool:
        """Whether the last `patience` epochs have brought no better score than those before; a part of the history."""
        scores = [record.score for record in self.history if record.score is not None]
        patience = self.config.patience
        if patience is None or not scores:
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= patience

    def _choose_engine(self) -> None:
        """At the start of an epoch, where layers keep other numbers of weights than before the last one."""
        request = replace(self.engine_request, saved=None, step=self.position.step)
        if self.position.batch or not request.is_asked_again():
            return
        request, self.begun = with_inputs(request, self.data.train, self.position)
        if self.train_state.choose_engine(request) and self.processes.rank == 0:
            engine = self.train_state.engine
            self.callbacks.on_engine(EngineEvent(record=engine.record, measured_gain=engine.measured_gain))

    def _steps(self) -> None:
        """The steps that are left of this epoch."""
        throughput, before, first = Throughput(), self.seconds, self.position.step
        batches, self.begun = self.begun, None
        if batches is None:
            batches = self.data.train.epoch(self.position.epoch, self.position.batch)
        for group in grouped(batches, self.config.accumulate):
            uneven = self.processes.size > 1 and self.position.batch + len(group) >= len(self.data.train)
            samples = optimizer_step(
                self.train_state, group, position=self.position, mixing=self.data.mixing, uneven=uneven
            )
            if self.position.step == first:
                self.train_state.require_gradients()
            batch, step = self.position.batch + len(group), self.position.step + 1
            self.position = replace(self.position, batch=batch, step=step)
            throughput.add(samples * self.processes.size)
            self.seconds = before + throughput.seconds
            self._report(throughput)
            self._between_steps()

    def _between_steps(self) -> None:
        step, every = self.position.step, self.config.checkpoint_steps
        if step % _LOOKED_UP_EVERY == 0:
            self.train_state.meter.require_finite()
        ended = self.position.batch >= len(self.data.train)
        if every is not None and step % every == 0 and not ended:
            self._save()
        if self._agreement.at_boundary():
            self._leave()

    def _leave(self) -> NoReturn:
        self._save()
        raise InterruptionError(
            f"interrupted by {self.stopped() or 'another process'} after step {self.position.step:,}; "
            f"the state is saved in '{self.store.folder}': resume to go on"
        )

    def _close_epoch(self) -> None:
        """Save, evaluate, write down and save again, so that a process killed while it evaluates loses no epoch.

        The second checkpoint takes the place of the first, from which a resumed run goes on with the evaluation.
        """
        self.train_state.require_sound(self.position.step)
        if self.train_state.fading is not None:
            self.train_state.fading.at(self.position.step)
        self._require_one_state()
        before = self.position
        if self._is_evaluated and self.data.evaluations:
            self._save(announced=False)
        clock = Throughput()
        try:
            results = self._evaluate()
        except EvaluationStopped:
            self._leave()
        record = self._record(results, clock.seconds)
        self.history.append(record)
        self.train_state.rates.after_epoch(self._watched(record))
        self.position = Position(epoch=record.epoch, batch=0, step=self.position.step)
        self.train_state.meter.reset()
        self.seconds = 0.0
        if self.processes.rank == 0:
            write_metrics(self.folder, self.history)
        self._save(instead_of=before)
        if self.processes.rank == 0:
            self.callbacks.on_epoch(record)

    def _require_one_state(self) -> None:
        """Give every process the batch statistics of process 0, which are those that are saved, their average too.

        Raises VerificationError where masks, weights or averaged weights are then not the same in all of them.
        """
        if self.processes.size == 1:
            return
        state = self.train_state
        moved = state.moving.masks if state.moving is not None else {}
        self.processes.require_same("masks", digest({**moved, **state.masked.in_force()}))
        self.processes.broadcast(list(state.module.buffers()))
        self.processes.require_same("weights", digest(state.module.state_dict()))
        if state.average is not None:
            self.processes.broadcast(state.average.buffers())
            self.processes.require_same("averaged weights", digest(state.average.values))

    @property
    def _is_evaluated(self) -> bool:
        """Whether the epoch under way is evaluated at its end."""
        epoch = self.position.epoch + 1
        return epoch % self.config.evaluate_every == 0 or epoch == self.config.epochs

    def _evaluate(self) -> tuple[EvaluationRecord, ...]:
        """The scores of every split where this epoch is evaluated, with the averaged weights where there are any."""
        average = self.train_state.average
        if not self._is_evaluated:
            return ()
        with average.installed() if average is not None else nullcontext():
            return tuple(
                evaluation_record(split, self._score(batches)) for split, batches in self.data.evaluations.items()
            )

    def _score(self, batches: Batches) -> Score:
        return evaluate(
            self.train_state.module,
            batches,
            self.train_state.components,
            processes=self.processes,
            amp=self.config.amp,
            channels_last=self.config.channels_last,
            stop=self._stop_in(batches),
        )

    def _stop_in(self, batches: Batches) -> Callable[[], bool]:
        """Whether to stop before the next of `batches`; several processes ask before those that all of them have."""
        common = min(int(count) for count in self.processes.all_gather(torch.tensor([len(batches)])))
        left, agreement = iter(range(common)), StopAgreement(self.processes, self.stopped)
        return lambda: next(left, None) is not None and agreement.at_boundary()

    def _record(self, results: tuple[EvaluationRecord, ...], evaluation_seconds: float) -> EpochRecord:
        meter = self.train_state.meter
        trained = meter.score(meter.total(self.processes))
        if math.isnan(trained.loss):
            raise UsageError("no label of the training data counts: all of them are those that the loss leaves out")
        metric, higher = self.train_state.components.measure.best(self.config.best_metric)
        ranked = self.train_state.is_final(self.position.step)
        return EpochRecord(
            epoch=self.position.epoch + 1,
            step=self.position.step,
            lr=self.train_state.rates.used(self.position.step - 1),
            loss=trained.loss,
            metrics=finite_metrics(trained),
            score=ranking_score(results, metric, higher_is_better=higher) if ranked else None,
            evaluations=results,
            timing=Timing(
                seconds=self.seconds,
                evaluation_seconds=evaluation_seconds,
                images_per_second=trained.samples / max(self.seconds, 1e-9),
                measured_gain=self.train_state.engine.measured_gain,
            ),
            engine=self.train_state.engine.record.use,
        )

    def _watched(self, record: EpochRecord) -> float | None:
        """What a scheduler looks at that waits for a plateau: the metric of ranking, the training loss without one."""
        if "validation" not in self.data.evaluations:
            return record.loss
        higher = self.train_state.components.measure.best(self.config.best_metric)[1]
        return record.score if higher or record.score is None else -record.score

    def _report(self, throughput: Throughput) -> None:
        steps = self.config.epochs * self.steps_per_epoch
        if self.processes.rank:
            return
        every = self.config.log_every
        self.callbacks.on_step(
            StepProgress(
                epoch=self.position.epoch + 1,
                epochs=self.config.epochs,
                step=self.position.step,
                steps=steps,
                lr=self.train_state.rates.used(self.position.step - 1),
                loss=self.train_state.meter.mean_loss if every and self.position.step % every == 0 else None,
                images_per_second=throughput.images_per_second,
                seconds_left=throughput.seconds_for(steps - self.position.step),
            )
        )

    def _save(self, instead_of: Position | None = None, *, announced: bool = True) -> None:
        """Write a checkpoint of this moment; all processes hand in their part, process 0 alone writes.

        The one of the position `instead_of`, where there is one, goes. Callbacks hear of it where it is `announced`.
        """
        self.train_state.require_sound(self.position.step)
        tensors = self.train_state.tensors()
        state = SavedState(
            position=self.position,
            sums=tuple(
                (name, tuple(sums.tolist())) for name, sums in self.train_state.meter.total(self.processes).items()
            ),
            seconds=self.seconds,
            history=tuple(self.history),
            averaged=self.train_state.average.updates if self.train_state.average is not None else None,
            scaler=self.train_state.scaler_state(),
            score=self.history[-1].score if self.history and self.position.batch == 0 else None,
            engine=self.train_state.engine.record,
            identity=self.identity,
        )
        if self.processes.rank == 0:
            place, former = ((p.epoch, p.batch) if p is not None else None for p in (self.position, instead_of))
            assert place is not None
            folder = self.store.save(place, state=state.to_json(), tensors=tensors, instead_of=former)
            best = state.score is not None and folder == self.store.best
            if announced:
                self.train_state.write_back()
                self.callbacks.on_checkpoint(
                    CheckpointEvent(folder=folder, epoch=self.position.epoch, step=self.position.step, best=best)
                )
