"""Experiment `table3`: F, the distance of the heat from the dense network's, of all methods at all densities.

The paper's F is taken "at saturation" without a time. At t = inf it is zero for every connected graph, and it is never
above sqrt(2 n_in) = 2.45 for three input channels, which three of the printed numbers are: only the ORDER of each cell,
whether skips bring F down, can be compared.
Source: N2NSkip paper, Table 3 and Eqs. 3-6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import ClassVar

from n2nsurgery.connectivity.graph.graph_options import GraphOptions
from n2nsurgery.connectivity.measures.subject import Subject
from n2nsurgery.connectivity.metrics.heat_distance import HeatDistance
from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.files import write_text
from n2nsurgery.experiments.n2nskip.diffusion_networks import SENTENCES, dense_network, pruned_networks
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Outcome, Reproduction, Table, Verdict
from n2nsurgery.experiments.trials.results import TRIALS

_DENSITIES = (0.5, 0.1, 0.05, 0.02)
_MODELS = {"VGG19": "cifar-vgg19", "ResNet50": "cifar-resnet50"}
_PAIRS = (("RP", "N2NSkip-RP"), ("CSP", "N2NSkip-CSP"))
_PRINTED: Mapping[tuple[str, str], tuple[float, ...]] = {
    ("VGG19", "RP"): (3.6e-3, 4.2e-1, 2.3e-1, 6.5e0),
    ("VGG19", "N2NSkip-RP"): (2.8e-6, 4.9e-5, 9.9e-4, 1.3e-3),
    ("VGG19", "CSP"): (7.9e-3, 7.1e-5, 9.1e-2, 2.3e0),
    ("VGG19", "N2NSkip-CSP"): (1.4e-6, 2.5e-5, 6.2e-5, 3.3e-4),
    ("ResNet50", "RP"): (4.4e-3, 3.9e-2, 4.5e-1, 1.2e1),
    ("ResNet50", "N2NSkip-RP"): (8.1e-6, 5.5e-5, 3.8e-4, 5.6e-3),
    ("ResNet50", "CSP"): (7.9e-3, 6.7e-5, 6.1e-2, 9.2e0),
    ("ResNet50", "N2NSkip-CSP"): (5.3e-6, 1.7e-5, 4.2e-5, 8.9e-4),
}
_RULES = (GraphOptions(conductance="l1"), GraphOptions(conductance="binary"))
_TIMES = {"t*": "F", "10 t*": "F_10", "inf": "F_inf"}
_COLUMNS = tuple(f"{rules.conductance}, {time}" for rules in _RULES for time in _TIMES)


NetworkAtDensity = tuple[str, str, float]
"""Network, method, density."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """F in the order of the columns, and the number of `components` of the network's graph."""

    values: tuple[float, ...]
    components: int


@dataclass(frozen=True, kw_only=True)
class Table3:
    """Every cell at t*, 10 t* and infinity, for two conventions; finished cells are kept in the folder."""

    trains: ClassVar[bool] = False

    def run(self, config: ExperimentConfig) -> Reproduction:
        """The grid beside the printed one, and a verdict on the order of each cell."""
        models = {"VGG19": _MODELS["VGG19"]} if config.scale == "smoke" else _MODELS
        densities = _DENSITIES[-1:] if config.scale == "smoke" else _DENSITIES
        cells = {
            (label, method, density): None
            for label in models
            for pair in _PAIRS
            for method in pair
            for density in densities
        }
        found: dict[NetworkAtDensity, Distances] = {}
        references: dict[str, tuple[Subject, ...]] = {}
        for place, cell in enumerate(cells):
            config.progress(f"{cell[1]} at {cell[2]:.0%} of {cell[0]}", place / len(cells))
            found[cell] = _cell(cell, config, references)
        return _reproduction(found)


def _cell(cell: NetworkAtDensity, config: ExperimentConfig, references: dict[str, tuple[Subject, ...]]) -> Distances:
    """The cell's distances, computed or found in the folder."""
    label, method, density = cell
    path = config.folder / TRIALS / f"{label}-{method}-{density:g}-s{config.seed}.json"
    if path.is_file():
        try:
            return decode(Distances, json.loads(path.read_text(encoding="utf-8")), str(path))
        except ValueError as error:
            raise InvalidFileError(f"'{path}' is not JSON ({error}): delete it to compute it again") from error
    if label not in references:
        references[label] = tuple(dense_network(_MODELS[label], rules, seed=config.seed) for rules in _RULES)
    networks = pruned_networks(_MODELS[label], method, density, _RULES, seed=config.seed)
    values: list[float] = []
    for network, reference in zip(networks, references[label], strict=True):
        measured = HeatDistance().measure(network.subject, reference).quantities
        values += [float(measured[name].value or 0.0) for name in _TIMES.values()]
    distances = Distances(values=tuple(values), components=networks[0].subject.parts.count)
    write_text(path, json.dumps(asdict(distances), allow_nan=False) + "\n")
    return distances


def _reproduction(found: Mapping[NetworkAtDensity, Distances]) -> Reproduction:
    pairs = [(cell, (cell[0], dict(_PAIRS)[cell[1]], cell[2])) for cell in found if cell[1] in dict(_PAIRS)]
    orders = {plain: _orders(found[plain], found[skipped]) for plain, skipped in pairs}
    return Reproduction(
        name="table3",
        title="F, the distance of the heat signature from the dense network's",
        source="N2NSkip paper, Table 3",
        conventions=(
            *SENTENCES,
            *_RULES[0].sentences,
            "'binary' takes conductance 1 wherever any weight is kept.",
            "t* is the time at which the reference's heat has settled but for 1e-3 of it; the paper states no time.",
            f"F is at most sqrt(2 n_in) = {sqrt(6):.2f}: the printed 6.5, 12 and 9.2 cannot be such distances.",
        ),
        tables=(
            Table(
                title="F",
                columns=("network", "method", "density", "printed F", *_COLUMNS, "components"),
                rows=tuple(
                    (*cell, _PRINTED[cell[:2]][_DENSITIES.index(cell[2])], *distances.values, distances.components)
                    for cell, distances in found.items()
                ),
            ),
            Table(
                title="Whether skips bring F down",
                columns=("network", "without skips", "density", *_COLUMNS),
                rows=tuple((*cell, *answers) for cell, answers in orders.items()),
            ),
        ),
        verdicts=(
            *(
                _overall(column, [answers[place] for answers in orders.values()])
                for place, column in enumerate(_COLUMNS)
            ),
            *(_verdict(cell, answers) for cell, answers in orders.items()),
        ),
    )


def _orders(plain: Distances, skipped: Distances) -> tuple[str, ...]:
    return tuple(
        "yes" if after < before else "equal" if after == before else "no"
        for before, after in zip(plain.values, skipped.values, strict=True)
    )


def _overall(column: str, answers: list[str]) -> Verdict:
    """On one convention and time, over all cells."""
    unequal = [answer for answer in answers if answer != "equal"]
    holds = unequal.count("yes")
    outcome: Outcome = "undecided" if 0 < holds < len(unequal) or not unequal else "reproduced" if holds else "refuted"
    return Verdict(
        statement=f"skips bring F down in every cell ({column})",
        outcome=outcome,
        evidence=f"in {holds} of {len(unequal)} cells that differ; {len(answers) - len(unequal)} are equal",
    )


def _verdict(cell: NetworkAtDensity, answers: tuple[str, ...]) -> Verdict:
    """On the order alone, at the finite times: at infinity connected networks are all equal, and late both may be 0."""
    asked = [(c, a) for c, a in zip(_COLUMNS, answers, strict=True) if not c.endswith("inf") and a != "equal"]
    holds = [column for column, answer in asked if answer == "yes"]
    outcome: Outcome = "reproduced" if len(holds) == len(asked) else "undecided" if holds else "refuted"
    return Verdict(
        statement=f"{cell[0]} at {cell[2]:.0%}: F of N2NSkip-{cell[1]} is below that of {cell[1]}",
        outcome=outcome,
        evidence=f"holds for {', '.join(holds) or 'none of the conventions and times'}",
    )


MEMBER = Table3
