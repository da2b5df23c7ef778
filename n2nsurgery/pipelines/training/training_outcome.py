"""TrainingOutcome: what a run was and what it gave, as the document that `train --json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from n2nsurgery.export.proof.report import ExportReport
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.pruned_model import PrunedModel
from n2nsurgery.surgery.summary import summary
from n2nsurgery.training.metrics.record import EpochRecord
from n2nsurgery.training.state.outcome import TrainOutcome


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingOutcome:
    """A run; of a dry run `run`, `pruned` and `trained` are None. `data`: the description of the data set.

    `already_there`: it was finished before, and nothing was left to train.
    """

    recipe: Recipe
    run: Path | None
    plan: SurgeryPlan
    pruned: PrunedModel | None
    data: tuple[str, ...]
    device: str
    processes: int
    steps_per_epoch: int
    trained: TrainOutcome | None
    exported: ExportReport | None
    reported: Path | None
    already_there: bool = False

    def to_json(self) -> dict[str, Any]:
        """The document."""
        done = (self.pruned.masks, self.pruned.record) if self.pruned is not None else (None, None)
        return {
            "run": str(self.run) if self.run is not None else None,
            "already_there": self.already_there,
            "recipe": self.recipe.to_json(),
            "recipe_hash": self.recipe.hash,
            "data": list(self.data),
            "surgery": summary(self.plan, *done),
            "device": self.device,
            "processes": self.processes,
            "epochs": self.recipe.train.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps_per_epoch * self.recipe.train.epochs,
            **_results(self.trained),
            "report": str(self.reported) if self.reported is not None else None,
            "onnx": str(self.exported.path) if self.exported is not None else None,
        }


def _results(trained: TrainOutcome | None) -> dict[str, Any]:
    if trained is None:
        return {"last": None, "best": None, "history": [], "checkpoints": None, "engine": None}
    records = trained.history
    return {
        "last": records[-1].to_json(),
        "best": best_epoch(records).to_json(),
        "history": [record.to_json() for record in records],
        "checkpoints": {"last": str(trained.last), "best": str(trained.best)},
        "engine": {
            **asdict(trained.engine),
            "measured_gain": trained.measured_gain,
            "sentence": trained.engine.sentence(trained.measured_gain),
        },
    }


def best_epoch(records: tuple[EpochRecord, ...]) -> EpochRecord:
    """The first epoch with the highest validation accuracy, the last one where nothing was validated."""
    scored = [record for record in records if record.score is not None]
    return max(scored, key=lambda record: (record.score or 0.0, -record.epoch)) if scored else records[-1]
