"""SurgeryPlan: what will be done to one model, as a value that can be printed, hashed and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from n2nsurgery.core.decoding import decode
from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.graph.layers.layer_graph import PrunableWeight, Rejection
from n2nsurgery.masks.counts.budgets import Budget
from n2nsurgery.skips.spec import SkipSpec, filled
from n2nsurgery.surgery.planning.config import WITH_OPTIONS, SurgeryConfig
from n2nsurgery.surgery.planning.route import REWRITE, EngineChoice
from n2nsurgery.surgery.planning.schema_1 import upgraded

SCHEMA = 2
_LEFT_OUT: Mapping[str, Any] = MappingProxyType(
    {f"{name}_options": {} for name in WITH_OPTIONS if name != "criterion"}
    | {"keep_alive": False, "macs": None, "start": "dense"}
)
"""Fields of the config that are not part of the document where they have these values: added after schema 2."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """An input of the network by its argument name: the example's shape (batch first) and dtype (`float32`, ...)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class SurgeryPlan:
    """Everything that is decided before the first tensor is touched.

    `model`: how to build the dense model again, as JSON text (None: it came as an object). `structure`: fingerprint of
    the traced graph. `dense`: names of the weights kept whole. `kept`: counts of `weights`, in their order, where the
    criterion's allocation decides them (None: scores will). `refused`: every pair, layer and parameter that is left
    alone, with the reason. `warnings`: what the user should know before training. `engine`: whether the skips run in
    hooks of the model or in a rewritten copy, and why.
    """

    schema: int
    model: str | None
    model_class: str
    inputs: tuple[InputSpec, ...]
    structure: str
    config: SurgeryConfig
    budget: Budget
    weights: tuple[PrunableWeight, ...]
    dense: tuple[str, ...]
    kept: tuple[int, ...] | None
    skips: tuple[SkipSpec, ...]
    refused: tuple[Rejection, ...]
    warnings: tuple[str, ...]
    engine: EngineChoice = REWRITE

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the plan; equal plans give equal masks on any machine."""
        return fingerprint(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; a plan that rewrites for no reason given, as all once did, names no engine.

        Options that say nothing are left out.
        """
        document = asdict(self)
        if self.engine == REWRITE:
            del document["engine"]
        document["skips"] = [skip.to_json() for skip in self.skips]
        for name, unsaid in _LEFT_OUT.items():
            if document["config"][name] == unsaid:
                del document["config"][name]
        return document

    @classmethod
    def from_json(cls, value: Any, where: str = "plan.json") -> SurgeryPlan:  # noqa: ANN401 - any JSON value
        """The plan that `to_json` gave; one of schema 1 in the names of today.

        Raises InvalidFileError for a newer schema and for anything unknown or missing.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if not isinstance(schema, int) or schema < 1:
            raise InvalidFileError(f"{where} is not a surgery plan: it names no schema")
        if schema > SCHEMA:
            raise InvalidFileError(f"{where} has schema {schema}; this version reads up to {SCHEMA}: upgrade it")
        document = upgraded(value, where) if schema == 1 else value
        return decode(cls, _filled(document), where)


def _filled(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored plan with what `to_json` left out."""
    document = {"engine": asdict(REWRITE), **stored}
    config, skips = document.get("config"), document.get("skips")
    if isinstance(config, Mapping):
        document["config"] = {**_LEFT_OUT, **config}
    if isinstance(skips, list | tuple):
        document["skips"] = [filled(skip) for skip in skips]
    return document
