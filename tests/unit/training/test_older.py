"""Checkpoints that were written before metrics had names are read as they were."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from n2nsurgery.core.errors import UsageError
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.schedule import ScheduleConfig
from n2nsurgery.training.state.saved_state import SavedState, require_same_run

NEW = (
    "task", "loss", "loss_options", "metrics", "best_metric", "patience", "freeze", "distillation", "log_every",
    "distributed_timeout", "find_unused_parameters", "gradient_checkpointing", "checkpointed_modules", "engine",
    "measure_engine",
)  # fmt: skip


def older():
    """The state of an epoch under way, as version 0.1.0 wrote it."""
    config = {key: value for key, value in asdict(TrainConfig(epochs=7)).items() if key not in NEW}
    config["optimizer"] = {key: value for key, value in config["optimizer"].items() if key != "options"}
    config["schedule"] = {key: value for key, value in config["schedule"].items() if key != "options"}
    timing = {"seconds": 1.0, "evaluation_seconds": 0.5, "images_per_second": 30.0}
    split = {"split": "validation", "loss": 1.5, "top1": 0.25, "top5": 0.75, "samples": 8}
    record = {"epoch": 1, "step": 3, "lr": 0.1, "loss": 2.0, "top1": 0.5, "evaluations": [split], "timing": timing}
    return {
        "position": {"epoch": 1, "batch": 2, "step": 5},
        "sums": [3.0, 4.0, 5.0, 6.0],
        "seconds": 0.5,
        "history": [record],
        "averaged": None,
        "scaler": None,
        "score": None,
        "identity": {"config": config, "processes": 1, "batches": 3, "masks": "m", "subject": "s"},
    }


def test_top1_and_top5_of_an_older_history_are_among_the_metrics():
    state = SavedState.from_json(older(), "state.json")
    [record] = state.history
    assert (record.top1, record.score) == (0.5, 0.25)
    assert record.evaluations[0].metrics == (("top1", 0.25), ("top5", 0.75))
    assert record.to_json()["validation"] == {"loss": 1.5, "top1": 0.25, "top5": 0.75, "samples": 8}


def test_the_sums_of_an_older_epoch_under_way_are_those_of_each_metric():
    state = SavedState.from_json(older(), "state.json")
    assert dict(state.sums) == {"loss": (3.0, 6.0), "top1": (4.0, 6.0), "top5": (5.0, 6.0)}


def test_options_that_did_not_exist_have_their_defaults():
    assert SavedState.from_json(older(), "state.json").identity.config == TrainConfig(epochs=7)


def test_a_state_of_this_version_is_read_as_it_was_written():
    state = SavedState.from_json(older(), "state.json")
    assert SavedState.from_json(state.to_json(), "state.json") == state


def test_a_run_of_which_neither_teacher_nor_metrics_were_kept_goes_on():
    saved = SavedState.from_json(older(), "state.json").identity
    asked = replace(saved, teacher="0" * 64, metrics=("top1",))
    assert require_same_run(saved, asked, "here") == ()
    with pytest.raises(UsageError, match="the teacher is another one"):
        require_same_run(asked, replace(asked, teacher=""), "here")


def test_a_run_whose_floor_was_kept_as_a_number_goes_on():
    document = older()
    document["identity"]["config"]["schedule"]["floor"] = 5e-4
    saved = SavedState.from_json(document, "state.json").identity
    assert require_same_run(saved, replace(saved, config=TrainConfig(epochs=7)), "here") == ()
    lower = replace(saved, config=TrainConfig(epochs=7, schedule=ScheduleConfig(floor=0.0)))
    with pytest.raises(UsageError, match=r"config.schedule.floor was 0.0005 and is 0.0"):
        require_same_run(saved, lower, "here")
