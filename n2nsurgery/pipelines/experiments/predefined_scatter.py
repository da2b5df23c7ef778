"""Experiment `predefined-scatter`: whether scatter tells from a pattern alone how accurate its network will be.

The paper says so; the section with its experiments is missing from the text that is public. Patterns of one density
and of differing quality are trained alike, and their scatter is ranked against their accuracy.
Source: "Characterizing sparse connectivity patterns in neural networks", section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from n2nsurgery.pipelines.job_results import results_of
from n2nsurgery.pipelines.jobs import Document
from n2nsurgery.pipelines.morse_patterns import Pattern, PatternRun, assorted
from n2nsurgery.pipelines.n2nskip_tables import at_scale
from n2nsurgery.pipelines.paired import RankCorrelation, Spread, rank_correlation
from n2nsurgery.pipelines.panels import Curve, Panel, draw
from n2nsurgery.pipelines.predefined_runs import SGD, SOURCE, data_of
from n2nsurgery.pipelines.reproduction import Cell, Outcome, Reproduction, Scale, Setting, Table, Verdict
from n2nsurgery.train.config import TrainConfig

_FAN_OUTS = (128, 8)  # 12.5 %, the only Morse network that the paper mentions beside scatter
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SKEWS = (0.0, 0.5, 1.0, 2.0)
_DRAWS = {"smoke": 1, "small": 4, "paper": 10}
_SAMPLES = {"smoke": (4, 1, 2), "small": (300, 10, 100), "paper": (5000, 1000, 1000)}
_EPOCHS = {"smoke": 1, "small": 8, "paper": 30}
_GROUPS = ("all", "fixed fan", "clustered", "skewed")
_ENTRIES = ("S_1f", "S_1b", "S_2f", "S_2b", "S_f", "S_b")
_USEFUL = 0.5  # the least rank correlation that deserves to be called a prediction


@dataclass(frozen=True, kw_only=True)
class PredefinedScatter:
    """128 patterns at small scale: fixed fans, clustered windows, skewed fan-outs."""

    trains: ClassVar[bool] = True

    def run(self, setting: Setting) -> Reproduction:
        """Rank correlations of all patterns and of each kind, verdicts, a figure."""
        runs = _runs(setting)
        finished = results_of(runs, setting.folder / "cells", setting)
        documents = list(finished.documents.values())
        found = {group: _correlation(documents, group) for group in _GROUPS}
        return Reproduction(
            name="predefined-scatter",
            title="Scatter and accuracy of Morse networks",
            source=f"{SOURCE}, section 3.1",
            conventions=(
                f"Fan-outs {_FAN_OUTS} (12.5 %), the same number of edges in every pattern.",
                f"Data, initial weights and order of batches are the same. {_training(setting, runs[0].train)}",
                "Rank correlations are Spearman's, with their 95 % interval.",
                f"A statement is reproduced where the interval lies above {_USEFUL:g}, refuted where it lies below.",
                *(f"Failed, and left out: {key}: {problem}" for key, problem in finished.failures.items()),
            ),
            tables=(
                _correlations("Scatter against test accuracy", found),
                _correlations("Entries of the scatter vector against test accuracy, all patterns", _entries(documents)),
                _summary(documents),
            ),
            verdicts=_verdicts(found, setting.scale),
            figures=draw(setting.folder, "predefined-scatter", [_panel(documents)]),
            data={"patterns": documents},
        )


def _runs(setting: Setting) -> list[PatternRun]:
    counts = dict(
        zip(("train_per_class", "validation_per_class", "test_per_class"), _SAMPLES[setting.scale], strict=True)
    )
    few = setting.scale == "smoke"
    strengths, skews = (_STRENGTHS[::4], _SKEWS[::3]) if few else (_STRENGTHS, _SKEWS)
    patterns: Sequence[Pattern] = list(assorted(setting.seeds or _DRAWS[setting.scale], strengths, skews, setting.seed))
    train = replace(SGD, epochs=_EPOCHS[setting.scale])
    data = data_of("morse", setting, **counts)
    return [
        PatternRun(pattern=pattern, fan_outs=_FAN_OUTS, data=data, train=train, seed=setting.seed)
        for pattern in patterns
    ]


def _training(setting: Setting, train: TrainConfig) -> str:
    return f"{_SAMPLES[setting.scale][0]:,} training samples of each class, {train.epochs} epochs of SGD."


def _of(documents: Sequence[Document], group: str) -> list[Document]:
    return [document for document in documents if group in {"all", document["kind"]}]


def _correlation(documents: Sequence[Document], group: str) -> RankCorrelation | None:
    chosen = _of(documents, group)
    return rank_correlation([one["scatter"] for one in chosen], [one["accuracy"] for one in chosen])


def _entries(documents: Sequence[Document]) -> dict[str, RankCorrelation | None]:
    """Of each entry of the vector, the last two being those of the whole network."""
    accuracies = [document["accuracy"] for document in documents]
    return {
        name: rank_correlation([document["vector"][place] for document in documents], accuracies)
        for place, name in enumerate(_ENTRIES)
    }


def _correlations(title: str, found: Mapping[str, RankCorrelation | None]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for group, correlation in found.items():
        if correlation is None:
            rows.append((group, None, None, None, None))
            continue
        low, high = correlation.interval
        row = (f"{correlation.rho:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{correlation.p:.2g}", correlation.pairs)
        rows.append((group, *row))
    columns = ("of", "rank correlation", "95 % interval", "p", "number")
    return Table(title=title, columns=columns, rows=tuple(rows))


def _summary(documents: Sequence[Document]) -> Table:
    groups: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        strengths = ", ".join(f"{strength:g}" for strength in document["strengths"])
        groups.setdefault((document["kind"], strengths), []).append(document)
    rows = [
        (
            kind,
            strengths,
            len(some),
            Spread(values=tuple(one["scatter"] for one in some)).text(3),
            Spread(values=tuple(one["accuracy"] for one in some)).text(1),
        )
        for (kind, strengths), some in groups.items()
    ]
    columns = ("kind", "strength in junctions 1, 2", "patterns", "scatter", "test accuracy, %")
    return Table(title="Patterns", columns=columns, rows=tuple(rows))


def _verdicts(found: Mapping[str, RankCorrelation | None], scale: Scale) -> tuple[Verdict, ...]:
    return (
        Verdict(
            statement="scatter predicts how good a pattern is, over patterns of all kinds",
            outcome=at_scale(_outcome(found["all"]), scale),
            evidence=_text(found["all"]),
        ),
        Verdict(
            statement="scatter predicts which of several random patterns of fixed fans is better",
            outcome=at_scale(_outcome(found["fixed fan"]), scale),
            evidence=_text(found["fixed fan"]),
        ),
        Verdict(
            statement="scatter predicts how much clustering costs",
            outcome=at_scale(_outcome(found["clustered"]), scale),
            evidence=_text(found["clustered"]),
        ),
    )


def _outcome(correlation: RankCorrelation | None) -> Outcome:
    if correlation is None:
        return "undecided"
    low, high = correlation.interval
    return "reproduced" if low >= _USEFUL else "refuted" if high < _USEFUL else "undecided"


def _text(correlation: RankCorrelation | None) -> str:
    return "scatter or accuracy never varies" if correlation is None else correlation.text()


def _panel(documents: Sequence[Document]) -> Panel:
    curves = []
    for group in _GROUPS[1:]:
        chosen = _of(documents, group)
        if chosen:
            curves.append(
                Curve(
                    label=f"{group} ({len(chosen)})",
                    x=tuple(one["scatter"] for one in chosen),
                    y=tuple(one["accuracy"] for one in chosen),
                    joined=False,
                )
            )
    return Panel(
        title="Morse, fan-outs (128, 8)",
        x_label="scatter (minimum of its vector)",
        y_label="test accuracy, %",
        curves=tuple(curves),
    )


MEMBER = PredefinedScatter
