"""What a SurgeryConfig must not ask for at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from n2nsurgery.core.errors import UsageError


def require_consistent(config: Any, with_options: Sequence[str], own: Sequence[str]) -> None:  # noqa: ANN401 - its module imports this one
    """Raise UsageError, with the field, for options of `config`, a SurgeryConfig, in contradiction.

    `with_options`: the fields that name a member whose options are in a field of their own. `own`: the options of a
    criterion that are fields themselves.
    """
    given = [name for name in ("density", "sparsity", "compression") if getattr(config, name) is not None]
    junctions = bool(config.fan_out or config.junction_density)
    if len(given) != 1 and (given or not (junctions or config.macs)):
        seen = " and ".join(given) + " are given" if given else "none is given"
        raise UsageError(
            f"exactly one of density, sparsity and compression sets the budget; {seen}",
            field=given[0] if given else "density",
            beside=tuple(given[1:]),
        )
    if config.macs is not None and junctions and not given:
        raise UsageError(
            "is given beside what single layers keep (fan_out, junction_density); give a density, too: it says how"
            " many weights the other layers share",
            field="macs", joint=" ",
        )  # fmt: skip
    if config.skip == "none" and config.skip_ratio not in {"auto", 0}:
        raise UsageError(f"is {config.skip_ratio}, but there are no skips; leave it out", field="skip_ratio", joint=" ")
    floors = [name for name in ("floor_layer", "floor_channel", "keep_alive") if getattr(config, name)]
    if junctions and floors:
        raise UsageError("floors exclude what single layers keep (fan_out, junction_density)", field=floors[0])
    if (config.num_candidates > 1) != (config.select_by is not None):
        raise UsageError(
            "num_candidates (how many patterns are drawn) and select_by (which is kept) belong together",
            field="num_candidates" if config.num_candidates > 1 else "select_by",
        )
    for name in own:
        if name in config.criterion_options and getattr(config, name) is not None:
            raise UsageError("is given twice: as an option of its own and of the criterion", field=name, joint=" ")
    for name in with_options:
        unnamed = getattr(config, name) in {None, "none"} and name not in config.criterion_options
        if unnamed and getattr(config, f"{name}_options"):
            raise UsageError(f"needs the name of what it is for: give {name}, too", field=f"{name}_options", joint=" ")
