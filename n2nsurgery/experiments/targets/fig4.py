"""Experiment `fig4`: scree curves of VGG19, dense, pruned, and pruned with N2NSkip.

Source: N2NSkip paper, Fig. 4 and Eq. 7. The paper states neither the density nor K nor the unit of t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.heat.scree_curves import ScreeCurves, scree_curves
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.experiments.n2nskip.diffusion_networks import SENTENCES, dense_network, pruned_networks
from n2nsurgery.experiments.paper.figures import COLOURS, figure_file
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Outcome, Reproduction, Table, TableCell, Verdict

_MODEL = "cifar-vgg19"
_DENSITY = 0.05
_PERCENT = 10.0
_POINTS = 81
_EXACT_TO = 2000  # nodes; beyond, the spectrum is estimated and its standard error stands in the table
_PANELS = (("RP", "N2NSkip-RP"), ("CSP", "N2NSkip-CSP"))
_LEVELS = (0.5, 0.9, 0.99)


@dataclass(frozen=True, kw_only=True)
class Fig4:
    """alpha(K, t) over t of the three networks of each panel, at one density and one K."""

    trains: ClassVar[bool] = False

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Both panels, when each curve reaches a level, and how far it lies from the reference's."""
        rules = GraphOptions()
        config.progress("building the networks", 0.05)
        subjects = {"reference": dense_network(_MODEL, rules, seed=config.seed)}
        for place, method in enumerate(method for panel in _PANELS for method in panel):
            config.progress(method, 0.1 + 0.2 * place)
            subjects[method] = pruned_networks(_MODEL, method, _DENSITY, (rules,), seed=config.seed)[0].subject
        times = _times(subjects["reference"])
        curves = {name: scree_curves(s.spectrum(_EXACT_TO), (_PERCENT,), times) for name, s in subjects.items()}
        config.progress("drawing", 0.9)
        name = "fig4.png"
        _draw(config.folder / name, times, curves)
        apart = {key: _apart(curves[key], curves["reference"]) for key in curves}
        return Reproduction(
            name="fig4",
            title="Scree curves of VGG19",
            source="N2NSkip paper, Fig. 4 and Eq. 7",
            conventions=(
                *SENTENCES, *rules.sentences,
                f"The CIFAR VGG19 at density {_DENSITY:g}, K = {_PERCENT:g} %; the paper states neither.",
                "Every network's own time: nothing is rescaled.",
            ),
            tables=(_table(curves, times, apart),),
            verdicts=tuple(
                Verdict(
                    statement=f"the curve of {skipped} is nearer to the reference's than that of {plain}",
                    outcome=_outcome(apart[skipped] < apart[plain]),
                    evidence=f"mean distance {apart[skipped]:.4f} with skips, {apart[plain]:.4f} without",
                )
                for plain, skipped in _PANELS
            ),
            figures=(name,),
        )  # fmt: skip


def _table(curves: Mapping[str, ScreeCurves], times: np.ndarray, apart: Mapping[str, float]) -> Table:
    return Table(
        title="When the curves rise, and how far they are apart",
        columns=(
            "network",
            *(f"t at alpha = {level:g}" for level in _LEVELS),
            "mean |alpha - reference|",
            "standard error",
        ),
        rows=tuple(
            (key, *_reached(curve, times), apart[key], float(curve.standard_error.max()))
            for key, curve in curves.items()
        ),
    )


def _draw(path: Path, times: np.ndarray, curves: Mapping[str, ScreeCurves]) -> None:
    with figure_file(path, width=11, height=4.4) as figure:
        for axes, panel in zip(figure.subplots(1, 2, sharey=True), _PANELS, strict=True):
            for colour, key in zip(COLOURS, ("reference", *panel), strict=False):
                axes.semilogx(times, curves[key].alpha[0], color=colour, label=key)
            axes.set_xlabel("t, 1/conductance")
            axes.set_ylabel(f"alpha({_PERCENT:g} %, t)")
            axes.set_title(f"VGG19 at {_DENSITY:.0%}: {panel[0]} and {panel[1]}")
            axes.legend()


def _times(reference: Subject) -> np.ndarray:
    """From a thousandth to a thousand times the reference's slowest settling time."""
    slowest = 1 / reference.heat.theta_1
    return np.geomspace(1e-4 * slowest, 1e3 * slowest, _POINTS)


def _reached(curves: ScreeCurves, times: np.ndarray) -> tuple[TableCell, ...]:
    alpha = curves.alpha[0]
    return tuple(float(times[np.argmax(alpha >= level)]) if (alpha >= level).any() else None for level in _LEVELS)


def _apart(curves: ScreeCurves, reference: ScreeCurves) -> float:
    return float(np.abs(curves.alpha - reference.alpha).mean())


def _outcome(holds: bool) -> Outcome:  # noqa: FBT001 - the one thing that is asked
    return "reproduced" if holds else "refuted"


MEMBER = Fig4
