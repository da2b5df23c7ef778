"""A trial: one training run of an experiment, and what it gave.

<key>.yaml      the recipe; `n2nsurgery train` runs it by itself
<key>/          the run
<key>.json      the result, once the run is through
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.core.files import write_text
from n2nsurgery.core.outputs import device_of, evaluation_mode
from n2nsurgery.core.progress import Progress
from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.experiments.trials.job import Document
from n2nsurgery.pipelines.training.train import run
from n2nsurgery.pipelines.training.train_request import AUTO, TrainRequest
from n2nsurgery.pipelines.training.training_outcome import TrainingOutcome
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.training.metrics.record import EpochRecord


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The run that `recipe` describes; `name` (letters, digits, dots and dashes) says in words which one it is.

    `download`, `allow_import`: what the recipe may have fetched, and whether code that it names may be run.
    """

    name: str
    recipe: Recipe
    download: bool = False
    allow_import: bool = False

    @property
    def key(self) -> str:
        """`<name>-s<seed>-<hash>`."""
        return f"{self.name}-s{self.recipe.seed}-{self.recipe.hash[:8]}"

    def run(self, folder: Path, device: str, progress: Progress) -> Document:
        """Train, going on with a run that was stopped; see `Job`."""
        recipe = replace(self.recipe, train=replace(self.recipe.train, device=device))
        file, trained = folder / f"{self.key}.yaml", folder / self.key
        write_text(file, recipe.to_yaml())
        outcome = run(
            TrainRequest(
                recipe=file, output=trained, resume=AUTO, download=self.download, allow_import=self.allow_import
            ),
            progress,
            splits=lambda: splits_of(recipe.data, recipe.seed, download=self.download),
        )
        assert outcome is not None  # this is not one process of several
        return asdict(_result(self.name, outcome))


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a trial gave.

    `train`, `validation`, `test`: top-1 accuracies in [0, 1] after each epoch, None where an epoch was not evaluated.
    `weights`: those of the dense network that could be pruned; `nonzeros`: those kept, skips included. `macs`:
    multiply-accumulates of kept weights for one sample; `flops`: operations of the same network in dense kernels, two
    for each multiply-accumulate. `seconds` of training and evaluation.
    """

    name: str
    recipe: str
    seed: int
    train: tuple[float, ...]
    validation: tuple[float | None, ...]
    test: tuple[float | None, ...]
    weights: int
    nonzeros: int
    skip_nonzeros: int
    macs: int
    flops: int
    seconds: float
    device: str
    warnings: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Test accuracy after the last epoch, in percent."""
        last = self.test[-1]
        assert last is not None  # the last epoch is always evaluated
        return 100 * last

    @classmethod
    def from_json(cls, document: Document, where: str) -> Self:
        """The result that was written as `document`; InvalidFileError, with `where`, for another one."""
        try:
            result = decode(cls, document, where)
        except InvalidFileError as error:
            raise InvalidFileError(f"{error}; remove the file to train that trial again") from error
        if not result.test:
            raise InvalidFileError(f"{where} holds no epoch; remove the file to train that trial again")
        return result


@lru_cache(maxsize=1)  # the trials of one seed follow each other and share their data
def splits_of(request: DataConfig, seed: int, *, download: bool) -> DataSplits:
    """The data of a request, kept for the next job that has the same; UsageError where it is not there."""
    try:
        return request.load(download=download, seed=seed)
    except UsageError as error:
        raise UsageError(f"{error} `reproduce` takes it with --data; --scale smoke needs no data.") from error


def _result(name: str, outcome: TrainingOutcome) -> TrialResult:
    assert outcome.trained is not None
    assert outcome.pruned is not None
    counted: dict[str, Any] = outcome.to_json()["surgery"]
    history = outcome.trained.history
    return TrialResult(
        name=name,
        recipe=outcome.recipe.hash,
        seed=outcome.recipe.seed,
        train=tuple(record.top1 for record in history),
        validation=_accuracies(history, "validation"),
        test=_accuracies(history, "test"),
        weights=counted["reference_weights"],
        nonzeros=counted["nnz_total"],
        skip_nonzeros=counted["nnz_skip"],
        macs=round(counted["mac_density"] * counted["macs_dense"]),
        flops=_flops(outcome.pruned),
        seconds=sum(record.timing.seconds + record.timing.evaluation_seconds for record in history),
        device=outcome.device,
        warnings=tuple(counted["warnings"]),
    )


def _accuracies(history: tuple[EpochRecord, ...], split: str) -> tuple[float | None, ...]:
    return tuple(next((r.top1 for r in record.evaluations if r.split == split), None) for record in history)


def _flops(pruned: PrunedModel) -> int:
    """Floating-point operations of one sample in evaluation, as torch's dense kernels compute them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = pruned.module
    inputs = [torch.zeros((1, *spec.shape[1:]), device=device_of(module)) for spec in pruned.plan.inputs]
    with evaluation_mode(module), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return int(counter.get_total_flops())
