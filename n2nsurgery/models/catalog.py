"""From a name to a ModelBundle, and from its spec to the same model again; `locate` has the kinds of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import nn

from n2nsurgery.core.names import unknown
from n2nsurgery.core.seeds import derive, torch_generator
from n2nsurgery.models import weights as weights_file
from n2nsurgery.models.bundle import ModelBundle, input_names
from n2nsurgery.models.locate import locate, require_import_allowed, source_of
from n2nsurgery.models.model_spec import ModelSpec, SourceName
from n2nsurgery.models.sources.source import Arguments, InputSize

BATCH = 2


def resolve_model(  # noqa: PLR0913 - one parameter for each thing that a user may ask for
    name: str,
    *,
    seed: int,
    weights: str | None = None,
    weights_key: str | None = None,
    weights_prefix: str = "",
    weights_ignore: Sequence[str] = (),
    num_classes: int | None = None,
    input_size: InputSize | None = None,
    options: Mapping[str, Any] | None = None,
    allow_import: bool = True,
    download: bool = False,
) -> ModelBundle:
    """The ModelBundle called `name`, in training mode, on the CPU in float32.

    Parameters and example inputs (batch 2) depend only on `seed` and `name`; the global generator is left as
    it was. `weights`: pretrained weights of the source (`DEFAULT`, `IMAGENET1K_V1`, ...) or a file of tensors, see
    `weights.read` for `weights_key` and `weights_prefix`, `weights.load` for `weights_ignore`. With `num_classes`, a
    head of so many outputs takes the place of the weights' own, and starts anew.
    `input_size`: a number for height and width, or the shape of one sample. `options`: further arguments of the
    builder, as JSON values. `allow_import` bars factories, `download` allows network access for weights.

    Raises UnknownNameError with the nearest name, UsageError for a request that cannot be met, RunError where timm is
    not installed or weights are not on this computer, InvalidFileError for weights that do not fit.
    """
    source, bare = locate(name)
    require_import_allowed(source, bare, allowed=allow_import)
    classes = {} if num_classes is None else {"num_classes": num_classes}
    from_file = weights is not None and weights_file.is_file(weights)
    design = source_of(source).design(
        bare, {**(options or {}), **classes}, input_size=input_size, weights=None if from_file else weights
    )
    weights = weights if weights is not None else design.weights
    state = None
    if weights is not None:
        state = (
            weights_file.read(Path(weights), key=weights_key, prefix=weights_prefix)
            if from_file
            else source_of(source).pretrained(bare, weights, download=download)
        )
    spec = ModelSpec(
        source=source,
        name=bare,
        arguments=design.arguments,
        input_shapes=design.input_shapes,
        input_names=design.input_names,
        input_ids=design.input_ids,
        seed=seed,
        weights=None if state is None else state[0],
    )
    bundle = rebuild(spec, allow_import=allow_import)
    if state is not None and weights is not None:
        origin = f"the weights '{weights}'"
        weights_file.load(bundle.module, state[1], origin=origin, ignore=weights_ignore, num_classes=num_classes)
    return bundle


def rebuild(spec: ModelSpec, *, allow_import: bool = True) -> ModelBundle:
    """The ModelBundle of `spec` as it was before any weights were loaded; needs neither data nor network."""
    require_import_allowed(spec.source, spec.name, allowed=allow_import)
    module = _initialized(spec.source, spec.name, spec.arguments, spec.seed)
    generator = torch_generator(spec.seed, "example inputs", spec.name)
    all_ids = spec.input_ids or (0,) * len(spec.input_shapes)
    inputs = tuple(
        torch.randint(ids // 2, ids, (BATCH, *shape), generator=generator)  # special tokens have small numbers
        if ids
        else torch.randn(BATCH, *shape, generator=generator)
        for shape, ids in zip(spec.input_shapes, all_ids, strict=True)
    )
    names = spec.input_names or input_names(module, inputs)
    return ModelBundle(module=module, example_inputs=inputs, input_names=names, spec=spec)


def list_models(source: str | None = None) -> tuple[str, ...]:
    """Names as `resolve_model` takes them, of one source, or of the families and torchvision.

    timm's names are listed on request only: importing it takes seconds. RunError where it is not installed.
    """
    chosen = ("family", "torchvision") if source is None else (source,)
    if chosen[0] not in get_args(SourceName):
        raise unknown("source of models", chosen[0], get_args(SourceName))
    prefix = "timm:" if source == "timm" else ""
    return tuple(f"{prefix}{name}" for entry in chosen for name in source_of(cast("SourceName", entry)).names())


def require_known(name: str) -> None:
    """Return where `name` is that of a family or of torchvision, or of another source, which is not asked.

    Raises UnknownNameError with the nearest name.
    """
    if ":" not in name:
        locate(name)


def _initialized(source: SourceName, name: str, arguments: Arguments, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reset the accelerators' generators, which fork_rng does not restore here.
        torch.default_generator.manual_seed(derive(seed, "init", name))
        return source_of(source).build(name, arguments)
