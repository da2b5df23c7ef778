"""How a pruned network was made, as a Making: from its plan, and from the folder of its run."""

from __future__ import annotations

import shlex
from pathlib import Path

from n2nsurgery.connectivity.measures.making import Choice, Making, Style, changed_settings
from n2nsurgery.core.config.options import config_fields
from n2nsurgery.core.errors import InvalidFileError, UsageError
from n2nsurgery.graph.layers.pair_selection import PAPER_LENGTH
from n2nsurgery.masks.criterion import PatternCriterion
from n2nsurgery.models.locate import source_of
from n2nsurgery.models.model_spec import ModelSpec
from n2nsurgery.pipelines.saved.run_folder import RECIPE
from n2nsurgery.recipe.resolve import read_recipe
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.planning.planner import criterion_of

_OF_FILE = "sha256:"


def making_of(plan: SurgeryPlan, folder: Path | None = None) -> Making | None:
    """How the network of `plan`, of an artifact or a run in `folder`, was made; None with objects of no registry."""
    config = plan.config
    members = [each for each in config_fields(SurgeryConfig) if each.option.registry is not None]
    if any(getattr(config, each.name) not in {None, *each.choices} for each in members):
        return None
    style, words = _beginning(plan, folder)
    settings = changed_settings(config)
    if config.skip == "none" or config.skip_length == PAPER_LENGTH:
        settings.pop("skip_length", None)  # a plan has the length that 'auto' found
    layers = frozenset(name for weight in plan.weights for name in (weight.layer, weight.name))
    return Making(settings=settings, density=config.kept, choice=_choice(plan), words=words, style=style, layers=layers)


def _choice(plan: SurgeryPlan) -> Choice:
    criterion = criterion_of(plan.config)
    if not isinstance(criterion, PatternCriterion):
        return "scored"
    return "regular" if any(criterion.step(weight) > 1 for weight in plan.weights) else "drawn"


def _beginning(plan: SurgeryPlan, folder: Path | None) -> tuple[Style, str]:
    spec = None if plan.model is None else ModelSpec.from_text(plan.model)
    if folder is not None and (folder / RECIPE).is_file():  # a run that Python began has none
        own = (spec is not None and spec.source == "factory") or _names_code(folder / RECIPE)
        allowed = " --allow-import" if own else ""
        return "overrides", f"n2nsurgery train {shlex.quote(str(folder / RECIPE))}{allowed}"
    if spec is None:
        return "keywords", "n2nsurgery.apply(network, example_inputs=inputs"
    if spec.weights is not None and spec.weights.startswith(_OF_FILE):
        return "options", ""  # nothing says where that file is
    return "options", f"n2nsurgery apply {_named(spec)}"


def _names_code(recipe: Path) -> bool:
    """Whether there are modules or data in `recipe` that are imported only with --allow-import."""
    try:
        found = read_recipe(recipe)
        found.data.require_allowed(allow_import=False)
    except (InvalidFileError, UsageError):
        return True
    return bool(found.plugins)


def _named(spec: ModelSpec) -> str:
    """The model as `n2nsurgery apply` takes it, with what differs from the model of this name."""
    prefix = f"{spec.source}:" if spec.source in {"timm", "hf"} else ""
    words = [shlex.quote(f"{prefix}{spec.name}")]
    size = f"--input-size {'x'.join(map(str, spec.input_shapes[0]))}"
    if spec.source == "factory":
        return " ".join((*words, size))
    if spec.source == "hf":
        return words[0]
    if spec.weights is not None:
        words.append(f"--weights {shlex.quote(spec.weights)}")
    plain = source_of(spec.source).design(spec.name, {}, input_size=None, weights=None)
    classes = spec.arguments.get("num_classes")
    if classes is not None and plain.arguments.get("num_classes") != classes:
        words.append(f"--num-classes {classes}")
    if spec.input_shapes != plain.input_shapes:
        words.append(size)
    return " ".join(words)
