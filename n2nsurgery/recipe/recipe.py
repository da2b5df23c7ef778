"""Recipe: one training run as a value, composed of the sections' own types; and its canonical form.

    version, seed    of the format; of everything that is drawn
    plugins          modules to import first, for what they register
    model            ModelConfig; may be left out where an artifact is trained
    data             DataConfig
    surgery          SurgeryConfig without its seed, or ArtifactRequest; left out, the dense model is trained
    train            TrainConfig without its seed
    export           ExportConfig; left out, nothing is exported
    report           ReportConfig; left out, no report is made

Nothing here has a default of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from n2nsurgery.connectivity.graph.report_config import ReportConfig
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.core.names import leaves
from n2nsurgery.data.config import DataConfig
from n2nsurgery.export.config import ExportConfig
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.surgery.planning.config import WITH_OPTIONS, SurgeryConfig
from n2nsurgery.training.config.config import TrainConfig

VERSION: Final = 2
# Where a run computes, where its data and its plugins lie, and what is made of it afterwards: not what is trained.
_PLACES = (
    ("data", "root"),
    ("data", "workers"),
    ("train", "device"),
    ("train", "tensorboard"),
    ("train", "distributed_timeout"),
    ("train", "find_unused_parameters"),
    ("train", "engine"),
    ("train", "measure_engine"),
)
_BESIDE = ("plugins", "export", "report")
# Options that came later: where they are left out, a recipe is the one that it was before.
_LATER = (("train", "dynamics"), ("train", "skip_fade"))


@dataclass(frozen=True, kw_only=True)
class ArtifactRequest:
    """A pruning that was done before: the folder of its artifact."""

    artifact: Path


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run; see the module's docstring for the sections."""

    version: Literal[2] = VERSION
    seed: int = 0
    plugins: tuple[str, ...] = ()
    model: ModelConfig | None
    data: DataConfig
    surgery: SurgeryConfig | ArtifactRequest | None
    train: TrainConfig
    export: ExportConfig | None = None
    report: ReportConfig | None = None

    def to_json(self) -> dict[str, Any]:
        """Every value, defaults included, as JSON values; reading it gives an equal recipe."""
        train = asdict(self.train)
        del train["seed"]  # the recipe's
        data = asdict(self.data)
        del data["options"]
        data |= self.data.own_options  # beside the others, as a recipe writes them
        document = {
            "version": self.version,
            "seed": self.seed,
            "plugins": self.plugins,
            "model": self.model and {"name": self.model.name, **asdict(self.model)},
            "data": data,
            "surgery": self.surgery and _surgery(self.surgery),
            "train": train,
            "export": self.export and asdict(self.export),
            "report": self.report and asdict(self.report),
        }
        return {key: _plain(value) for key, value in document.items()}

    def to_yaml(self) -> str:
        """The same as YAML text, in a fixed order."""
        return str(yaml.safe_dump(self.to_json(), sort_keys=False, allow_unicode=True, width=120))

    def trained(self) -> dict[str, Any]:
        """`to_json` without what changes nothing of what is trained: places, and what is made of it afterwards."""
        document = self.to_json()
        document["train"]["schedule"]["floor"] = self.train.settled_schedule.floor
        for section, key in _PLACES:
            del document[section][key]
        for section, key in _LATER:
            if document[section][key] is None:
                del document[section][key]
        return {section: value for section, value in document.items() if section not in _BESIDE}

    @property
    def subject(self) -> str:
        """SHA-256 of what is trained on what, whatever is done to train it: model, data, surgery and seed."""
        document = self.trained()
        return fingerprint({key: document[key] for key in ("seed", "model", "data", "surgery")})

    @property
    def hash(self) -> str:
        """SHA-256 (64 hex digits) of what is trained and how, see `trained`."""
        return fingerprint(self.trained())

    def contradictions(self) -> Iterator[tuple[tuple[str, str], str]]:
        """What only several sections together show to be impossible: section and key, and what is wrong with it."""
        if self.model is not None and self.model.weights is not None and (own := _brings_values(self.surgery)):
            yield ("model", "weights"), f"model.weights is given, but {own}; leave one of them out"
        whole = self.surgery.granularity if isinstance(self.surgery, SurgeryConfig) else None
        if self.train.dynamics is not None and whole not in {None, "weight"}:
            keeps = f"surgery.granularity keeps '{whole}' whole"
            yield ("train", "dynamics"), f"train.dynamics moves single weights, and {keeps}; leave one of them out"


def _brings_values(surgery: SurgeryConfig | ArtifactRequest | None) -> str | None:
    """Why pruned weights begin with other values than those that the model has; None where they do not."""
    if isinstance(surgery, ArtifactRequest):
        return "surgery.artifact brings its own"
    if surgery is not None and surgery.start != "dense":
        return f"surgery.start '{surgery.start}' is for new networks and would change them"
    return None


def differences(one: Recipe, other: Recipe) -> tuple[str, ...]:
    """Where two recipes differ in what they train: `train.epochs: 6 -> 300`."""
    before, after = options_of(one), options_of(other)
    return tuple(
        f"{path}: {before.get(path, 'absent')} -> {after.get(path, 'absent')}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path, "absent") != after.get(path, "absent")
    )


def options_of(recipe: Recipe) -> dict[str, Any]:
    """Every option that changes what is trained, by its name: `train.epochs`."""
    return dict(leaves(recipe.trained()))


def _surgery(asked: SurgeryConfig | ArtifactRequest) -> dict[str, Any]:
    """The section as a recipe writes it: a name with options is one mapping, and the seed is the recipe's."""
    section = asdict(asked)
    if isinstance(asked, SurgeryConfig):
        del section["seed"]
        for name in WITH_OPTIONS:
            if options := section.pop(f"{name}_options"):
                section[name] = {"name": section[name], **options}
    return section


def _plain(value: Any) -> Any:  # noqa: ANN401 - what dataclasses hold
    """`value` with mappings as dicts, tuples as lists and paths as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
