"""From what a person asked of surgery to the planner's configuration."""

from __future__ import annotations

from dataclasses import fields

from n2nsurgery.graph.layers.pairs import PairSelection
from n2nsurgery.masks.criterion import CRITERIA
from n2nsurgery.surgery.planning.config import Option, SurgeryConfig
from n2nsurgery.surgery.planning.junctions import JunctionRequest
from n2nsurgery.surgery.planning.request import SurgeryRequest


def surgery_config(request: SurgeryRequest, seed: int) -> SurgeryConfig:
    """The surgery that a request asks for; preset `paper` is Eq. 2 to the letter, beside shortcuts too."""
    literal = request.preset == "paper"
    options = _criterion_options(request)
    request = request.filled()
    return SurgeryConfig(
        density=request.kept,
        junctions=(
            *(JunctionRequest(layers=layers, fan_out=number) for layers, number in request.fan_out),
            *(JunctionRequest(layers=layers, density=share) for layers, share in request.junction_density),
        ),
        skip_ratio=request.skip_ratio if request.skip_ratio is not None else "auto",
        criterion=request.criterion,
        criterion_options=options,
        floor_per_layer=request.floor_layer,
        floor_per_channel=request.floor_channel,
        skip=request.skip,
        pattern=request.skip_pattern,  # type: ignore[arg-type]  # the request has checked
        kernel=request.skip_kernel,  # type: ignore[arg-type]
        pairs=PairSelection(
            policy=request.pairs,  # type: ignore[arg-type]
            length=request.skip_length,
            count=request.num_pairs,
            include=request.include,
            exclude=request.exclude,
            heads=request.heads,
            shortcuts=request.shortcuts,  # type: ignore[arg-type]
        ),
        pooling=request.pooling,  # type: ignore[arg-type]
        norm="never" if literal else "auto",
        keep_dense=request.keep_dense,
        redistribute=request.redistribute,
        seed=seed,
    )


def _criterion_options(request: SurgeryRequest) -> tuple[tuple[str, Option], ...]:
    """The options that the criterion has, and any other that was asked for: the criterion will refuse it."""
    known = {field.name for field in fields(CRITERIA.get(request.criterion))}
    filled = request.filled()
    defaults = SurgeryRequest.__dataclass_fields__
    return tuple(
        (name, getattr(filled, name))
        for name in ("allocation", "granularity", "scope")
        if name in known or getattr(request, name) != defaults[name].default
    )
