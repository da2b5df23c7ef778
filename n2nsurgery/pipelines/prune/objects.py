"""Objects in place of names: what `n2nsurgery.apply` is given, as a config can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from n2nsurgery.core.config.members import described
from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.allocations import ALLOCATIONS
from n2nsurgery.masks.criterion import CRITERIA, Criterion, make_criterion
from n2nsurgery.masks.granularities import GRANULARITIES
from n2nsurgery.skips.kind import KINDS
from n2nsurgery.surgery.planning.config import SurgeryConfig

_REGISTRIES = {
    "criterion": CRITERIA,
    "allocation": ALLOCATIONS,
    "granularity": GRANULARITIES,
    "skip": KINDS,
    "skip_allocation": ALLOCATIONS,
}
_LOOKED_UP = {"skip": "skip_kind", "skip_allocation": "allocation"}
"""What planning and loading look up by its name, and the decorator that gives it one."""


def by_name(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`options` with the name and the options of each object in its place; and the objects that no registry can make.

    Raises UsageError for a class in place of an object, where options are given beside an object, and for a skip
    kind or an allocation of skips that has no name.
    """
    named, objects = dict(options), {}
    for field, registry in _REGISTRIES.items():
        given = options.get(field)
        if given is None or isinstance(given, str):
            continue
        kind = type(given).__name__
        if isinstance(given, type):
            name = given.__name__
            raise UsageError(f"is the class {name}; give an object of it, as {name}()", field=field, joint=" ")
        if options.get(f"{field}_options"):
            message = f"is for a {registry.kind} by name; the object has its own"
            raise UsageError(message, field=f"{field}_options", joint=" ")
        named[field], named[f"{field}_options"], left = described(registry, given)
        if left is not None and field in _LOOKED_UP:
            register = f"n2nsurgery.register.{_LOOKED_UP[field]}('my-name')({kind})"
            message = f"is a {kind}, which has no name that it could be looked up by; give it one first: {register}"
            raise UsageError(message, field=field, joint=" ")
        if left is not None:
            objects[field] = left
    return named, objects


def criterion_of_objects(config: SurgeryConfig, objects: Mapping[str, Any]) -> Criterion | None:
    """The criterion where it, its allocation or its granularity is an object of no registry; None for names alone."""
    if not objects or "criterion" in objects:
        found: Criterion | None = objects.get("criterion")
        return found
    options = {name: value for name, value in config.all_criterion_options.items() if name not in objects}
    return make_criterion(config.criterion, **options, **objects)
