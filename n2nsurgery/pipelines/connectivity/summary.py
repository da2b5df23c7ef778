"""The connectivity of a pruned network in a few numbers, for the metadata of the file that it is exported to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from n2nsurgery.connectivity.graph.graph_options import DEFAULT
from n2nsurgery.connectivity.measures.subject import Origin
from n2nsurgery.connectivity.report.report import report
from n2nsurgery.pipelines.connectivity.channel_graphs import subject_of
from n2nsurgery.surgery.pruned_model import PrunedModel

_KEYS = (
    "effective-density.effective",
    "dead-channels.dead",
    "components.components",
    "heat-distance.F",
    "heat-distance.F_share",
    "saturation.t_sat_ratio",
    "path-count.paths",
    "scatter.scatter",
)


def connectivity_summary(pruned: PrunedModel) -> dict[str, Any]:
    """Verdict, headline, conventions and the first numbers of the report against the network's own dense form."""
    made = report(replace(subject_of(pruned), origin=Origin(name="the network")))
    return {
        "verdict": made.verdict,
        "headline": made.headline,
        "conventions": DEFAULT.to_json(),
        "quantities": {key: made.quantity(key).to_json() for key in _KEYS},
    }
