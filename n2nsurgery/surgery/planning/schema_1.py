"""Plans of schema 1, which versions up to 0.1.0 wrote: their request in the names of today."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from n2nsurgery.core.errors import InvalidFileError

_RENAMED = MappingProxyType(
    {
        "floor_per_layer": "floor_layer",
        "floor_per_channel": "floor_channel",
        "pattern": "skip_pattern",
        "kernel": "skip_kernel",
        "norm": "skip_norm",
        "keep_dense": "ignore",
    }
)
_RENAMED_PAIRS = MappingProxyType(
    {
        "policy": "pairs",
        "length": "skip_length",
        "count": "num_pairs",
        "include": "include",
        "exclude": "exclude",
        "heads": "include_classifier",
        "shortcuts": "skip_placement",
    }
)
_PLACEMENTS = MappingProxyType({"around": "avoid-residual", "two-blocks": "two-blocks", "plain": "all"})
# What schema 1 did not store, by its value: none of it changes what a stored plan is replayed to.
_NOT_STORED = MappingProxyType(
    {
        "sparsity": None,
        "compression": None,
        "allocation": None,
        "granularity": None,
        "scope": None,
        "num_candidates": 1,
        "select_by": None,
        "batches": 1,
        "batch_size": 128,
        "engine": "rewrite",
        "keep_alive": False,
    }
)


def upgraded(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The document of a plan of schema 1 as one of schema 2; InvalidFileError where its request is not one of them."""
    try:
        config = dict(document["config"])
        pairs = dict(config.pop("pairs"))
        pairs["shortcuts"] = _PLACEMENTS[pairs["shortcuts"]]
        junctions = config.pop("junctions")
        asked = {_RENAMED.get(name, name): value for name, value in config.items()}
        asked |= {_RENAMED_PAIRS[name]: value for name, value in pairs.items()}
        asked["criterion_options"] = dict(asked["criterion_options"])
        for name in ("fan_out", "density"):
            given = {each["layers"]: each[name] for each in junctions if each[name] is not None}
            asked["junction_density" if name == "density" else name] = given
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidFileError(f"{where} has schema 1, but its config is not one of that schema: {error!r}") from error
    return {**document, "schema": 2, "config": {**_NOT_STORED, **asked}}
