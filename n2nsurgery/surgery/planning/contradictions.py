"""What a SurgeryConfig must not ask for at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from n2nsurgery.core.errors import UsageError
from n2nsurgery.graph.layers.pair_selection import PAPER_LENGTH
from n2nsurgery.surgery.planning.presets import PRESETS

_OF_WEIGHTS = ("skip_pattern", "skip_kernel", "skip_norm", "skip_allocation", "skip_allocation_options")
_OF_SKIPS = (
    *_OF_WEIGHTS, "skip_length", "pairs", "num_pairs", "skip_placement", "include", "exclude", "include_classifier",
    "pooling",
)  # fmt: skip


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


def without_effect(config: Any) -> tuple[str, ...]:  # noqa: ANN401 - see above
    """Warnings of options that were given and that nothing looks at beside the others.

    What the preset 'paper' says of skips is not held against who leaves them out, nor is the length that a plan has.
    """
    defaults = {each.name: () if each.default is MISSING else each.default for each in fields(config)}
    given = {name: getattr(config, name) for name in _OF_SKIPS if getattr(config, name) not in (defaults[name], {})}
    preset = {name: value for name, value in PRESETS["paper"].items() if name in _OF_SKIPS}
    if preset.items() <= given.items():
        given = {name: value for name, value in given.items() if name not in preset}
    if given.get("skip_length") == PAPER_LENGTH:
        del given["skip_length"]
    if config.skip == "none":
        return _said(given, "there are no skips")
    unused = {name: value for name, value in given.items() if name in _OF_WEIGHTS}
    of_weights = _said(unused if config.skip == "residual" else {}, "skips of kind 'residual' hold no weights")
    counted = {"num_pairs": config.num_pairs} if "num_pairs" in given and config.pairs != "random" else {}
    return (*of_weights, *_said(counted, f"pairs is '{config.pairs}', not 'random'"))


def _said(given: dict[str, Any], why: str) -> tuple[str, ...]:
    return (f"{', '.join(given)}: without effect, for {why}",) if given else ()
