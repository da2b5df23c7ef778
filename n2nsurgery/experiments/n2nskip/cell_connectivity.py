"""How well the network of a trial is connected before it is trained, measured once and kept beside its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import MappingProxyType

from n2nsurgery.connectivity.measures.measurement import METRICS
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.files import write_text
from n2nsurgery.pipelines.connectivity.graph_request import GraphRequest
from n2nsurgery.pipelines.connectivity.graph_source import read_subject
from n2nsurgery.pipelines.saved.run_folder import SURGERY


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A number of the report, by its metric and name; `sign`: +1 where more is said to be better, -1 where less is."""

    metric: str
    quantity: str
    sign: int


PREDICTORS: Mapping[str, Predictor] = MappingProxyType(
    {
        "delay of heat": Predictor(metric="placement", quantity="t_sat_ratio", sign=-1),
        "delay of heat, equal weights": Predictor(metric="placement", quantity="t_sat_ratio_equal", sign=-1),
        "delay of heat, edges alone": Predictor(metric="placement", quantity="t_sat_ratio_binary", sign=-1),
        "F at t*": Predictor(metric="heat-distance", quantity="F", sign=-1),
        "effective density": Predictor(metric="effective-density", quantity="effective", sign=1),
        "scatter": Predictor(metric="scatter", quantity="scatter", sign=1),
        "dead channels": Predictor(metric="dead-channels", quantity="dead", sign=-1),
        "paths lost": Predictor(metric="path-count", quantity="paths_lost", sign=-1),
    }
)


def connectivity_of(cells: Path, key: str) -> dict[str, float] | None:
    """Every predictor of the pruned network that the trial `key` in the folder `cells` began with.

    Infinite delays are `inf`. None where the trial has left no artifact, as that of a dense network has not. Raises
    InvalidFileError for a damaged one.
    """
    path, artifact = cells / f"{key}.connectivity.json", cells / key / SURGERY
    if not path.is_file():
        if not artifact.is_dir():
            return None
        write_text(path, json.dumps(_measured(artifact), indent=1) + "\n")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: inf if found[name] is None else float(found[name]) for name in PREDICTORS}
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidFileError(f"'{path}' holds no measures of this version: remove it to measure again") from error


def _measured(artifact: Path) -> dict[str, float | int | None]:
    subject = read_subject(GraphRequest(model=artifact))
    metrics = {each.metric: METRICS.get(each.metric)() for each in PREDICTORS.values()}
    found = {name: metric.measure(subject, subject.dense_reference).quantities for name, metric in metrics.items()}
    return {name: found[each.metric][each.quantity].value for name, each in PREDICTORS.items()}
