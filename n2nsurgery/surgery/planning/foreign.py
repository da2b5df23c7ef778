"""Foreign members: what a plan names that comes from outside of this package, where from, and what to do without it.

Masks and weights are stored, so a criterion is never needed again. The module of a skip is built anew, so its kind is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.masks.criterion import CRITERIA
from n2nsurgery.skips.kind import KINDS
from n2nsurgery.skips.spec import SkipSpec
from n2nsurgery.surgery.planning.plan import SurgeryPlan

_REGISTRAR = re.compile(r"\(registered by (\S+)\)$")


def foreign_members(plan: SurgeryPlan) -> tuple[tuple[str, str], ...]:
    """The criterion and the skip kinds of `plan` that are not built in, each with its origin; for the record."""
    named = [(CRITERIA, plan.config.criterion), *((KINDS, kind) for kind in sorted({s.kind for s in plan.skips}))]
    return tuple(
        (f"{registry.kind} {name}", registry.origin(name))
        for registry, name in named
        if name in registry.names() and registry.is_foreign(name)
    )


def require_kinds(skips: Sequence[SkipSpec], origins: Mapping[str, str]) -> None:
    """Return where the kind of every skip is known here; `origins`: as `foreign_members` recorded them.

    Raises InvalidFileError that names the missing kind, where it came from, and how it is made known.
    """
    for kind in sorted({skip.kind for skip in skips} - set(KINDS.names())):
        origin = origins.get(f"{KINDS.kind} {kind}")
        if origin is None:
            raise InvalidFileError(f"its skips are of the {KINDS.kind} '{kind}', which is not known here")
        registrar = _REGISTRAR.search(origin)  # importing it registers; importing the kind's own module may not
        module = registrar[1] if registrar else origin.partition(" ")[0].partition(":")[0]
        raise InvalidFileError(
            f"its skips are of the {KINDS.kind} '{kind}', which is not known here; it came from {origin}. Install that "
            f"package, or import the module first: --plugin {module}, in Python `import {module}`"
        )
