"""States of checkpoints that earlier versions wrote, brought to the present form; what is in it already stays.

Before metrics had names, a record held `top1` (and `top5` of a split) as fields of its own, its score was the
validation split's top-1, and the sums of an epoch under way were loss, top-1, top-5 and samples. Options of training
that did not exist have their defaults. Before there was a choice of engines, every run was dense. Which teacher and
metrics a run had was not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.engine.record import EngineRecord, EngineUse

_RANKS = ("top1", "top5")


def upgraded(state: Any) -> Any:  # noqa: ANN401 - any JSON value
    """`state` as `SavedState.from_json` reads it; anything that is not a state is handed on as it is."""
    if not isinstance(state, Mapping) or not isinstance(state.get("identity"), Mapping):
        return state
    identity = dict(state["identity"])
    config = identity.get("config")
    found = dict(state)
    if isinstance(config, Mapping) and "task" not in config:
        loss, first, among, samples = state["sums"]
        found["sums"] = [["loss", [loss, samples]], ["top1", [first, samples]], ["top5", [among, samples]]]
        found["history"] = [_record(record) for record in state["history"]]
    identity = {"teacher": None, "metrics": None, **identity}
    identity["config"] = _filled(config, asdict(TrainConfig()))
    found.setdefault("engine", asdict(EngineRecord(reason="as the run was begun")))
    found["history"] = [{"engine": asdict(EngineUse()), **record} for record in found["history"]]
    for record in found["history"]:
        record["timing"] = {"measured_gain": None, **record["timing"]}
    return {**found, "identity": identity}


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an epoch, its `top1` among the metrics."""
    splits = [_named(split) for split in record["evaluations"]]
    scores = [split["top1"] for split in record["evaluations"] if split["split"] == "validation"]
    return {**_named(record), "evaluations": splits, "score": scores[0] if scores else None}


def _named(record: Mapping[str, Any]) -> dict[str, Any]:
    metrics = [[name, record[name]] for name in _RANKS if name in record]
    return {**{key: value for key, value in record.items() if key not in _RANKS}, "metrics": metrics}


def _filled(given: Any, defaults: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """`given` with the default of every key that it lacks, at any depth."""
    if not isinstance(given, Mapping):
        return given
    inner = {
        key: _filled(given[key], value)
        for key, value in defaults.items()
        if key in given and isinstance(value, Mapping)
    }
    return {**defaults, **given, **inner}
