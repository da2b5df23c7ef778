"""Experiment `predefined-scatter`: whether scatter tells from a pattern alone how accurate its network will be.

The paper says so; the section with its experiments is missing from the text that is public. Patterns of one density
and of differing quality are trained alike, on Morse symbols and on MNIST, and their scatter is ranked against their
accuracy. Windows of MNIST's pixels are squares of the image, as the paper has them.
Source: "Characterizing sparse connectivity patterns in neural networks", section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from n2nsurgery.connectivity.paths.scatter_vector import Shape
from n2nsurgery.experiments.n2nskip.tables import at_scale
from n2nsurgery.experiments.paper.panels import Panel, PanelCurve, draw
from n2nsurgery.experiments.paper.reproduction import (
    ExperimentConfig,
    Outcome,
    Reproduction,
    Scale,
    Table,
    TableCell,
    Verdict,
)
from n2nsurgery.experiments.predefined import networks as nets
from n2nsurgery.experiments.predefined.networks import FanOuts, Network
from n2nsurgery.experiments.predefined.patterns import PatternRun, assorted
from n2nsurgery.experiments.predefined.runs import ADAM_L2, SGD, SOURCE, Junctions, data_of
from n2nsurgery.experiments.trials.job import Document
from n2nsurgery.experiments.trials.paired import USEFUL, RankCorrelation, SampleStats, rank_correlation
from n2nsurgery.experiments.trials.results import TRIALS, results_of

_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SKEWS = (0.0, 0.5, 1.0, 2.0)
_DRAWS = {"smoke": 1, "small": 4, "paper": 10}
_MORSE_SAMPLES = {"smoke": (4, 1, 2), "small": (300, 10, 100), "paper": (5000, 1000, 1000)}
_MORSE_EPOCHS = {"smoke": 1, "small": 8, "paper": 30}
_MNIST = Network(name="MNIST CL (x = 112)", widths=(784, 112, 10), rows=())
_MNIST_EPOCHS = {"smoke": 1, "small": 3, "paper": 100}
_GROUPS = ("all", "fixed fan", "clustered", "skewed")
_ENTRIES = ("S_1f", "S_1b", "S_2f", "S_2b", "S_f", "S_b")


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A network, the fan-outs that say how many edges each pattern has, and the geometry of its inputs."""

    title: str
    junctions: Junctions
    fan_outs: FanOuts
    shape: Shape
    samples: str

    @property
    def training(self) -> str:
        """How its patterns are trained, in a sentence."""
        config = self.junctions.train
        return (
            f"{self.title}: fan-outs {self.fan_outs} ({100 * self.junctions.density(self.fan_outs):.3g} %), the same "
            f"number of edges in every pattern; {self.samples}, {config.epochs} epochs of {config.optimizer.name}."
        )


@dataclass(frozen=True, kw_only=True)
class PredefinedScatter:
    """128 patterns of each network at small scale: fixed fans, clustered windows, skewed fan-outs."""

    trains: ClassVar[bool] = True

    def run(self, config: ExperimentConfig) -> Reproduction:
        """Rank correlations of all patterns and of each kind, verdicts, a figure."""
        runs = {subject: _runs(subject, config) for subject in _subjects(config)}
        # those that need a data set come first, so that its absence is found at once
        jobs = [run for some in reversed(list(runs.values())) for run in some]
        finished = results_of(jobs, config.folder / TRIALS, config)
        documents = {
            subject: [finished.documents[run.key] for run in some if run.key in finished.documents]
            for subject, some in runs.items()
        }
        found = {
            subject: {group: _correlation(some, group) for group in _GROUPS} for subject, some in documents.items()
        }
        entries = {subject: _entries(some) for subject, some in documents.items()}
        return Reproduction(
            name="predefined-scatter",
            title="Scatter and accuracy",
            source=f"{SOURCE}, section 3.1",
            conventions=(
                *(subject.training for subject in runs),
                "Within a network, data, initial weights and order of batches are the same.",
                "Rank correlations are Spearman's, with their 95 % interval.",
                f"A statement is reproduced where the interval lies above {USEFUL:g}, refuted where it lies below.",
                *(f"Failed, and left out: {key}: {problem}" for key, problem in finished.failures.items()),
            ),
            tables=(
                _correlations("Scatter against test accuracy", found),
                _correlations("Entries of the scatter vector against test accuracy, all patterns", entries),
                _summary(documents),
            ),
            verdicts=tuple(v for subject, some in found.items() for v in _verdicts(subject, some, config.scale)),
            figures=draw(config.folder, "predefined-scatter", [_panel(*one) for one in documents.items()]),
            data={"patterns": {subject.title: some for subject, some in documents.items()}},
        )


def _subjects(config: ExperimentConfig) -> tuple[_Subject, ...]:
    epochs = _MNIST_EPOCHS[config.scale]
    counts = _MORSE_SAMPLES[config.scale]
    names = ("train_per_class", "validation_per_class", "test_per_class")
    morse = Junctions(
        network=nets.MORSE, model="morse", layers=("0", "2"),
        data=data_of("morse", config, **dict(zip(names, counts, strict=True))),
        train=replace(SGD, epochs=_MORSE_EPOCHS[config.scale]),
    )  # fmt: skip
    mnist = Junctions(
        network=_MNIST, model="mnist-cl", layers=("layers.0", "layers.2"), options=(("hidden", _MNIST.widths[1:-1]),),
        data={
            "smoke": lambda: data_of("fake", config, shape=(1, 28, 28), train=128, test=32),
            "small": lambda: data_of("mnist", config, train_limit=10_000),
            "paper": lambda: data_of("mnist", config),
        }[config.scale](),
        train=replace(ADAM_L2, epochs=epochs, evaluate_every=epochs),
    )  # fmt: skip
    images = {"smoke": "128 generated images", "small": "10,000 training images", "paper": "all training images"}
    return (
        # the only Morse network that the paper mentions beside scatter
        _Subject(
            title="Morse", junctions=morse, fan_outs=(128, 8), shape=(64,),
            samples=f"{counts[0]:,} training samples of each class",
        ),
        # the sparsest first junction whose fan-in is whole: what there is to lose is largest
        _Subject(
            title="MNIST", junctions=mnist, fan_outs=(2, 5), shape=(28, 28), samples=images[config.scale],
        ),
    )  # fmt: skip


def _runs(subject: _Subject, config: ExperimentConfig) -> list[PatternRun]:
    few = config.scale == "smoke"
    strengths, skews = (_STRENGTHS[::4], _SKEWS[::3]) if few else (_STRENGTHS, _SKEWS)
    return [
        PatternRun(
            junctions=subject.junctions, pattern=pattern, fan_outs=subject.fan_outs, shape=subject.shape,
            seed=config.seed, download=config.download,
        )
        for pattern in assorted(config.seeds or _DRAWS[config.scale], strengths, skews, config.seed)
    ]  # fmt: skip


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


def _correlations(title: str, found: Mapping[_Subject, Mapping[str, RankCorrelation | None]]) -> Table:
    rows: list[tuple[TableCell, ...]] = []
    for subject, some in found.items():
        for group, correlation in some.items():
            if correlation is None:
                rows.append((subject.title, group, None, None, None, None))
                continue
            low, high = correlation.interval
            row = (f"{correlation.rho:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{correlation.p:.2g}", correlation.pairs)
            rows.append((subject.title, group, *row))
    columns = ("network", "of", "rank correlation", "95 % interval", "p", "number")
    return Table(title=title, columns=columns, rows=tuple(rows))


def _summary(documents: Mapping[_Subject, Sequence[Document]]) -> Table:
    groups: dict[tuple[str, str, str], list[Document]] = {}
    for subject, some in documents.items():
        for document in some:
            strengths = ", ".join(f"{strength:g}" for strength in document["strengths"])
            groups.setdefault((subject.title, document["kind"], strengths), []).append(document)
    rows = [
        (
            title,
            kind,
            strengths,
            len(some),
            SampleStats(values=tuple(one["scatter"] for one in some)).text(3),
            SampleStats(values=tuple(one["accuracy"] for one in some)).text(1),
        )
        for (title, kind, strengths), some in groups.items()
    ]
    columns = ("network", "kind", "strength in junctions 1, 2", "patterns", "scatter", "test accuracy, %")
    return Table(title="Patterns", columns=columns, rows=tuple(rows))


def _verdicts(
    subject: _Subject, found: Mapping[str, RankCorrelation | None], scale: Scale
) -> tuple[Verdict, ...]:  # fmt: skip
    statements = {
        "all": "scatter predicts how good a pattern is, over patterns of all kinds",
        "fixed fan": "scatter predicts which of several random patterns of fixed fans is better",
        "clustered": "scatter predicts how much clustering costs",
    }
    return tuple(
        Verdict(
            statement=f"{subject.title}: {statement}",
            outcome=at_scale(_outcome(found[group]), scale),
            evidence=_text(found[group]),
        )
        for group, statement in statements.items()
    )


def _outcome(correlation: RankCorrelation | None) -> Outcome:
    return "undecided" if correlation is None else correlation.useful


def _text(correlation: RankCorrelation | None) -> str:
    return "fewer than four patterns, or all alike" if correlation is None else correlation.text()


def _panel(subject: _Subject, documents: Sequence[Document]) -> Panel:
    curves = []
    for group in _GROUPS[1:]:
        chosen = _of(documents, group)
        if chosen:
            curves.append(
                PanelCurve(
                    label=f"{group} ({len(chosen)})",
                    x=tuple(one["scatter"] for one in chosen),
                    y=tuple(one["accuracy"] for one in chosen),
                    joined=False,
                )
            )
    return Panel(
        title=f"{subject.title}, fan-outs {subject.fan_outs}",
        x_label="scatter (minimum of its vector)",
        y_label="test accuracy, %",
        curves=tuple(curves),
    )


MEMBER = PredefinedScatter
