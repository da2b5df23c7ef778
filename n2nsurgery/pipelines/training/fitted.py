"""A model and the data that it is to be trained on: built for each other, and found to agree."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from n2nsurgery.core.errors import N2NSurgeryError, UsageError
from n2nsurgery.core.outputs import device_of, evaluation_mode, primary_output
from n2nsurgery.data.pipeline.splits import DataSplits
from n2nsurgery.models.bundle import ModelBundle
from n2nsurgery.models.catalog import resolve_model
from n2nsurgery.models.config import ModelConfig
from n2nsurgery.models.model_spec import ModelSpec
from n2nsurgery.surgery.planning.plan import SurgeryPlan
from n2nsurgery.surgery.summary import model_name

_TRIED = 2  # samples; one alone would fail in BatchNorm of some models


def fitted_bundle(
    request: ModelConfig, splits: DataSplits, *, seed: int, download: bool = False, allow_import: bool = False
) -> ModelBundle:
    """The model for samples and classes of `splits`, unless `request` says otherwise.

    Raises UsageError where it does not take the samples or has not enough outputs; and the errors of `resolve_model`.
    """
    factory = ":" in request.name and not request.name.startswith("timm:")
    classes = splits.classes if request.num_classes is None and not factory else request.num_classes
    bundle = resolve_model(
        request.name,
        seed=seed,
        **request.weights_options,
        num_classes=classes,
        input_size=splits.train.shape if request.input_size is None else request.input_size,
        options=request.options,
        allow_import=allow_import,
        download=download,
    )
    shapes = [tuple(example.shape[1:]) for example in bundle.example_inputs]
    require_samples(request.name, shapes, splits)
    require_outputs(request.name, bundle.module, splits, num_classes=classes)
    return bundle


def require_fit(plan: SurgeryPlan, module: nn.Module, splits: DataSplits, *, num_classes: int | None = None) -> None:
    """Return where `module`, pruned by `plan`, takes the samples of `splits` and scores each of its classes.

    `num_classes`: as for `require_outputs`; the plan says it where it was the number of these classes. Raises
    UsageError.
    """
    name = model_name(plan)
    require_samples(name, shapes_of(plan), splits)
    if num_classes is None and plan.model is not None:
        built = ModelSpec.from_text(plan.model).arguments.get("num_classes")
        num_classes = built if built == splits.classes else None
    require_outputs(name, module, splits, num_classes=num_classes)


def shapes_of(plan: SurgeryPlan) -> list[tuple[int, ...]]:
    """The shape of one sample of each input of the model that `plan` is for."""
    return [tuple(spec.shape[1:]) for spec in plan.inputs]


def require_samples(name: str, shapes: list[tuple[int, ...]], splits: DataSplits) -> None:
    """Return where one input of the data's shape is all that is taken; raises UsageError."""
    if len(shapes) != 1:
        raise UsageError(f"model '{name}' takes {len(shapes)} inputs; training needs a model of one")
    if shapes[0] != splits.train.shape:
        raise UsageError(
            f"model '{name}' takes samples of shape {_shown(shapes[0])}, and the data has "
            f"{_shown(splits.train.shape)}: leave model.input_size out, or choose another model or data set"
        )


def require_outputs(name: str, module: nn.Module, splits: DataSplits, *, num_classes: int | None) -> None:
    """Return where `module` gives one score for each class of `splits`; raises UsageError.

    It may give more where it was `num_classes` a number of classes, as networks that pad their outputs do.
    """
    shape = _output_shape(name, module, splits.train.shape)
    if len(shape) != 2 or shape[0] != _TRIED:  # noqa: PLR2004 - samples and classes
        raise UsageError(f"model '{name}' gives an output of shape {_shown(shape[1:])} for a sample; scores are needed")
    if shape[1] < splits.classes or (shape[1] > splits.classes and num_classes is None):
        raise UsageError(
            f"model '{name}' has {shape[1]} outputs, and the data has {splits.classes} classes: "
            "leave model.num_classes out, or choose another model or data set"
        )


def _output_shape(name: str, module: nn.Module, sample: tuple[int, ...]) -> tuple[int, ...]:
    try:
        with evaluation_mode(module), torch.no_grad():
            output: Any = module(torch.zeros(_TRIED, *sample, device=device_of(module)))
        return tuple(primary_output(output).shape)
    except N2NSurgeryError:
        raise
    except Exception as error:
        raise UsageError(
            f"model '{name}' cannot take the data's samples of shape {_shown(sample)}: {type(error).__name__}: {error}"
        ) from error


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"
