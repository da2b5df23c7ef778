"""The grid of the N2NSkip paper: networks, data sets, methods, densities and seeds; and the trials that it is made of.

At `paper` scale these are the paper's networks with its recipe; at `small` scale networks that train in less than a
minute stand for them on a part of CIFAR-10; at `smoke` scale everything is generated and shows only that it works.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from n2nsurgery.data.config import DataConfig
from n2nsurgery.data.registry import DATA_SETS
from n2nsurgery.experiments.n2nskip.methods import DENSE, NORMALIZED, ONE_TO_ONE, dynamics_of, fading_of, surgery_of
from n2nsurgery.experiments.n2nskip.paper_networks import CIFAR_DENSITIES, IMAGENET_DENSITIES
from n2nsurgery.experiments.paper.reproduction import ExperimentConfig, Scale
from n2nsurgery.experiments.trials.grid import TrialResults, run_grid
from n2nsurgery.experiments.trials.results import TRIALS, results_of
from n2nsurgery.experiments.trials.trial import Trial
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.recipe.recipe import Recipe
from n2nsurgery.training.config.config import TrainConfig
from n2nsurgery.training.config.optimizer import OptimizerConfig
from n2nsurgery.training.config.schedule import ScheduleConfig

SEEDS: Mapping[Scale, int] = {"smoke": 2, "small": 3, "paper": 3}
PAPER_METHODS = ("RP", "N2NSkip-RP", "CSP", "N2NSkip-CSP")
_PLAIN = ("RP", "N2NSkip-RP", ONE_TO_ONE, "ResSkip-RP", "CSP", "N2NSkip-CSP")
_SHORTCUTS = ("RP", "N2NSkip-RP", NORMALIZED, ONE_TO_ONE, "CSP", "N2NSkip-CSP")
_SHORT_RUN = TrainConfig(
    epochs=6,
    batch_size=64,
    optimizer=OptimizerConfig(nesterov=False),
    schedule=ScheduleConfig(name="cosine", floor=0.0),
    keep_last=1,
)
_FULL_RUN = replace(
    _SHORT_RUN,
    epochs=40,
    batch_size=128,
    evaluate_every=5,
    optimizer=OptimizerConfig(lr=0.1, nesterov=False),
)
_PAPER_RUN = TrainConfig(keep_last=1)  # the defaults are the paper's recipe


@dataclass(frozen=True, kw_only=True)
class NetworkUnderStudy:
    """A network on a data set, as the paper calls them, with what is trained for them and how."""

    network: str
    dataset: str
    model: str
    data: DataConfig
    train: TrainConfig
    densities: tuple[float, ...] = field(compare=False)  # asking for fewer points leaves each point what it is
    methods: tuple[str, ...] = field(compare=False)

    @property
    def title(self) -> str:
        """`cifar-plain17 (for VGG19) on cifar10, 6,000 images (for CIFAR-100)`, without brackets for the real thing."""
        own = {"cifar-vgg19", "cifar-resnet50", "resnet50"}
        network = self.network if self.model in own else f"{self.model} (for {self.network})"
        limit = getattr(self.data.options, "train_limit", None)
        images = f", {limit:,} training images" if limit else ""
        named = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}.get(self.data.name, "fake")
        return f"{network} on {named}{images}" + ("" if named == self.dataset else f" (for {self.dataset})")

    @property
    def training(self) -> str:
        """How it is trained, in a sentence."""
        config = self.train
        steps = "halved every 30 epochs" if config.schedule.name == "step" else config.schedule.name
        exactness = "" if config.amp == "off" else f", {config.amp} autocast"
        tested = getattr(self.data.options, "test_limit", None)
        return (
            f"{self.title}: {config.epochs} epochs of SGD, learning rate {config.optimizer.lr:g} ({steps}), momentum "
            f"{config.optimizer.momentum:g}, weight decay {config.optimizer.weight_decay:g}, batches of "
            f"{config.batch_size}{exactness}; {f'{tested:,}' if tested else 'all'} test images."
        )

    def at(self, method: str, density: float) -> GridPoint:
        """The point of `method` at `density`; the density of the dense network is 1."""
        return GridPoint(subject=self, method=method, density=density)

    def trial(self, method: str, density: float, seed: int, *, download: bool) -> Trial:
        """One run."""
        recipe = Recipe(
            seed=seed,
            model=ModelConfig(name=self.model),
            data=self.data,
            surgery=surgery_of(method, density),
            train=replace(self.train, seed=seed, dynamics=dynamics_of(method, density), skip_fade=fading_of(method)),
        )
        name = trial_name(self.model, self.data.name, method, density)
        return Trial(name=name, recipe=recipe, download=download)


def trial_name(model: str, data: str, method: str, density: float) -> str:
    """What the runs of `method` at `density` are called in their folder, before the seed."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", method)
    kept = "" if method == DENSE else f"-d{density:g}"
    return f"{model}-{data}-{words}{kept}"


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """One mean: a method at a density on a subject; the density of the dense network is 1."""

    subject: NetworkUnderStudy
    method: str
    density: float


GridResults = TrialResults[GridPoint]


def points_of(subjects: Iterable[NetworkUnderStudy]) -> Iterator[GridPoint]:
    """Every point once, the dense network of a subject first."""
    for subject in subjects:
        yield GridPoint(subject=subject, method=DENSE, density=1.0)
        for density in subject.densities:
            for method in subject.methods:
                yield GridPoint(subject=subject, method=method, density=density)


def train_grid(points: Sequence[GridPoint], config: ExperimentConfig) -> GridResults:
    """Train every point with every seed, see `run_grid`.

    Finished trials in `config.folder` are used again. Raises the errors of `run_all`.
    """
    return run_grid(
        points,
        range(config.seed, config.seed + (config.seeds or SEEDS[config.scale])),
        lambda point, seed: point.subject.trial(point.method, point.density, seed, download=config.download),
        config.folder / TRIALS,
        lambda jobs: results_of(jobs, config.folder / TRIALS, config),
    )


def table1_subjects(config: ExperimentConfig) -> tuple[NetworkUnderStudy, ...]:
    """VGG19 and ResNet50 on CIFAR-10 and CIFAR-100, or what stands for them."""
    if config.scale == "paper":
        return tuple(
            NetworkUnderStudy(
                network=network, dataset=dataset, model=model, data=_data(data, config), train=_PAPER_RUN,
                densities=CIFAR_DENSITIES, methods=PAPER_METHODS,
            )
            for network, model in (("VGG19", "cifar-vgg19"), ("ResNet50", "cifar-resnet50"))
            for dataset, data in (("CIFAR-10", "cifar10"), ("CIFAR-100", "cifar100"))
        )  # fmt: skip
    return (plain_subject(config), tiny_subject(config, (0.05,), _SHORTCUTS, "CIFAR-10"))


def vgg_subjects(config: ExperimentConfig) -> tuple[NetworkUnderStudy, ...]:
    """VGG19 on CIFAR-10 and CIFAR-100, or what stands for the first."""
    return tuple(subject for subject in table1_subjects(config) if subject.network == "VGG19")


def plain_subject(config: ExperimentConfig) -> NetworkUnderStudy:
    """The network without shortcuts that stands for VGG19."""
    smoke = config.scale == "smoke"
    return NetworkUnderStudy(
        network="VGG19", dataset="CIFAR-10", model="cifar-plain17", data=_few(config), train=_short(config),
        densities=(0.1,) if smoke else CIFAR_DENSITIES, methods=PAPER_METHODS if smoke else _PLAIN,
    )  # fmt: skip


def table2_subject(config: ExperimentConfig) -> NetworkUnderStudy:
    """ResNet50 on ImageNet, or what stands for it."""
    if config.scale == "paper":
        return NetworkUnderStudy(
            network="ResNet50", dataset="ImageNet", model="resnet50", data=_data("imagenet", config, workers=8),
            train=_PAPER_RUN, densities=IMAGENET_DENSITIES, methods=PAPER_METHODS,
        )  # fmt: skip
    return tiny_subject(config, (0.5, 0.2), PAPER_METHODS, "ImageNet")


def tiny_subject(
    config: ExperimentConfig, densities: tuple[float, ...], methods: tuple[str, ...], dataset: str
) -> NetworkUnderStudy:
    """A bottleneck ResNet of 78,320 weights; its large maps take longer than the plain network: fewer images, bf16."""
    smoke = config.scale == "smoke"
    train = _short(config) if smoke else replace(_short(config), amp="bf16", channels_last=True)
    return NetworkUnderStudy(
        network="ResNet50", dataset=dataset, model="cifar-tiny-resnet", data=_few(config, 4000, 2000), train=train,
        densities=densities[:1] if smoke else densities, methods=("RP", "N2NSkip-RP") if smoke else methods,
    )  # fmt: skip


def basic_subject(
    config: ExperimentConfig, densities: tuple[float, ...], methods: tuple[str, ...]
) -> NetworkUnderStudy:
    """A ResNet of basic blocks, 270,896 weights."""
    train = _short(config) if config.scale == "smoke" else replace(_short(config), channels_last=True)
    return NetworkUnderStudy(
        network="ResNet20", dataset="CIFAR-10", model="cifar-basic-resnet", data=_few(config), train=train,
        densities=densities, methods=methods,
    )  # fmt: skip


def at_full_training(subject: NetworkUnderStudy, config: ExperimentConfig) -> NetworkUnderStudy:
    """The same network on all images with augmentation, until the loss is flat; unchanged at smoke scale."""
    if config.scale == "smoke":
        return subject
    return replace(
        subject,
        data=_data("cifar10", config, augment="standard"),
        train=_PAPER_RUN if config.scale == "paper" else _FULL_RUN,
    )


def _data(name: str, config: ExperimentConfig, workers: int = 0, **options: object) -> DataConfig:
    return DataConfig(name=name, options=DATA_SETS.get(name)(**options), root=config.data, workers=workers)


def _few(config: ExperimentConfig, train: int = 6000, test: int | None = None) -> DataConfig:
    """A part of CIFAR-10, or a few generated images."""
    if config.scale == "smoke":
        return _data("fake", config, shape=(3, 8, 8), train=128, test=32)
    return _data("cifar10", config, train_limit=train, test_limit=test, augment="none")


def _short(config: ExperimentConfig) -> TrainConfig:
    return replace(_SHORT_RUN, epochs=2, batch_size=32) if config.scale == "smoke" else _SHORT_RUN
