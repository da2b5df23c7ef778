"""Remedies: what to do about a network that is badly connected, by the way in which it was pruned.

The next step is the first of these that has not been taken: shares by the size of a layer where patterns are drawn, a
weight in every output channel, three in each, more weights. Each step is one that the planner takes:
`tests/unit/cli/test_remedies.py` runs the commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from n2nsurgery.connectivity.measures.making import Making
from n2nsurgery.connectivity.report.findings import Evidence
from n2nsurgery.connectivity.report.layer_table import BESIDE, LAYER, LayerRow

EVEN = "erk"
"""The allocation that gives small layers a larger share."""
ROOM = 2
"""Weights for each output channel above which a weight in each leaves drawn patterns a choice."""
FLOOR = 3
"""Weights for each channel that leave one in twenty without any, were they to fall at random."""
AFFORDABLE = 0.5
"""Share of the kept weights that floors may take."""
SMALL = 0.1
"""Share of the kept weights that one layer, or all skips, may take in addition."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A sentence on what to do, and the command that does it: empty where it is not known how it was pruned."""

    sentence: str
    command: str = ""


NO_REMEDY = Remedy(sentence="")


def more_alive(evidence: Evidence) -> Remedy:
    """What keeps more channels on paths."""
    making = evidence.subject.making
    if making is None:
        skips = "" if evidence.layers.skips else ", with skips (--skip n2n)"
        alive = "Prune again with a weight in every layer and in every output channel (--keep-alive)"
        return Remedy(sentence=f"{alive}{skips}, or with more weights (--density).")
    if _single_layers(making):
        return _larger_junctions(making, evidence)
    return _even(making) or _floor(making, evidence) or _denser(making, evidence)


def with_skips(evidence: Evidence) -> Remedy:
    """Skips where there are none: with weights, or where these would take a large part of the budget without."""
    making = evidence.subject.making
    if evidence.layers.skips or (making is not None and making.settings.get("skip") != "none"):
        return NO_REMEDY
    if making is None:
        return Remedy(sentence="Skips that lead over slow layers shorten the way (--skip n2n).")
    channels, _, kept = _pruned(evidence)
    bound = making.choice == "regular" or any(making.settings.get(name) for name in ("macs", "floor_layer"))
    fits = not bound and channels <= SMALL * kept and not making.settings.get("floor_channel")
    kind = "n2n" if fits else "residual"
    changes = {"skip": kind} | _unsaid(making, "skip_ratio")
    sentence = f"Skips that lead over slow layers shorten the way (--skip {kind})."
    return Remedy(sentence=sentence, command=making.again(changes))


def without_skips(evidence: Evidence, *, harm: bool) -> Remedy:
    """No skips: a command where they do harm; where they make no difference, accuracy may say otherwise."""
    if not harm:
        return Remedy(
            sentence="Without skips (--skip none) the file is smaller and faster. Compare the accuracy of both."
        )
    making = evidence.subject.making
    sentence = "Leave them out (--skip none)."
    if making is None or making.choice == "regular" or "macs" in making.settings:
        return Remedy(sentence=sentence)
    of_skips = [name for name in making.settings if name.startswith("skip_")]
    return Remedy(sentence=sentence, command=making.again({"skip": "none"} | dict.fromkeys(of_skips)))


def left_dense(evidence: Evidence, row: LayerRow) -> Remedy:
    """A thin layer with all of its weights, where that takes a small part of the budget; else as `more_alive`."""
    making = evidence.subject.making
    channels, layers, kept = _pruned(evidence)
    weights = row.values["weights"] or 0
    name = None if making is None else making.layer(row.name)
    if making is None or name is None or not kept or weights > SMALL * kept or _bound(making):
        return more_alive(evidence)
    said = making.settings
    if said.get("floor_channel", 0) * channels + said.get("floor_layer", 0) * layers > AFFORDABLE * kept:
        return more_alive(evidence)
    sentence = f"Leave it dense (--ignore {name}): it has {weights:,} weights."
    return Remedy(sentence=sentence, command=making.again({"ignore": (*said.get("ignore", ()), name)}))


def more_weights_in(evidence: Evidence, row: LayerRow) -> Remedy:
    """Twice the weights in one layer, where those take a small part of the budget."""
    making = evidence.subject.making
    density, kept = row.values.get("direct"), _pruned(evidence)[2]
    added = row.values["kept"] or 0
    name = None if making is None else making.layer(row.name)
    if (
        making is None
        or name is None
        or not density
        or density == 1
        or added > SMALL * kept
        or making.choice != "drawn"
        or making.density is None
        or _bound(making)
        or any(making.settings.get(name) for name in ("floor_layer", "floor_channel", "keep_alive"))
    ):
        return Remedy(sentence="More weights there, or skips over it, help most.")
    share = _short(min(1.0, 2 * density))
    sentence = f"Keep twice as many weights there (--junction-density {name}={share:g}), or lead skips over it."
    return Remedy(sentence=sentence, command=making.again({"junction_density": {name: share}}))


def spread(evidence: Evidence) -> Remedy:
    """Connections at random places; nothing where they are."""
    making = evidence.subject.making
    if making is None:
        return Remedy(sentence="Patterns that are drawn at random spread them (--criterion random).")
    if making.choice != "scored":
        return NO_REMEDY
    changes = {"criterion": "random"} | _unsaid(making, "criterion_options", "scope", "batches", "batch_size")
    sentence = "Patterns that are drawn at random spread them (--criterion random). Scores may still be more accurate."
    return Remedy(sentence=sentence, command=making.again(changes))


def _single_layers(making: Making) -> bool:
    return bool(making.settings.get("fan_out") or making.settings.get("junction_density"))


def _bound(making: Making) -> bool:
    """Whether it cannot be foreseen what the planner allows: a second budget, whole fan-outs, numbers for layers."""
    return making.choice == "regular" or "macs" in making.settings or _single_layers(making)


def _larger_junctions(making: Making, evidence: Evidence) -> Remedy:
    """Floors exclude what single layers keep, so these have to keep more."""
    said = making.settings
    shares = said.get("junction_density", {})
    if said.get("fan_out"):
        return Remedy(sentence="Let the layers keep more (--fan-out).")
    sentence = "Let the layers keep more (--junction-density)."
    larger = {layer: _short(min(1.0, 2 * share)) for layer, share in shares.items()}
    too_many = making.density is not None and making.density > AFFORDABLE
    if making.choice == "regular" or larger == shares or too_many or "macs" in said:
        return Remedy(sentence=sentence)
    doubled = {} if making.density is None else _doubled(making.density)
    changes = {"junction_density": larger} | doubled | _room_for_skips(making, evidence)
    return Remedy(sentence=sentence, command=making.again(changes))


def _even(making: Making) -> Remedy | None:
    """Random patterns by the sizes of layers, where they are shared in another way or have to be regular."""
    if making.choice == "regular":
        changes = {"criterion": "random"} | _unsaid(making, "criterion_options", "allocation", "allocation_options")
        sentence = "Draw patterns that can keep a weight in every channel (--criterion random)."
        return Remedy(sentence=sentence, command=making.again(changes))
    if making.choice == "drawn" and making.settings.get("allocation") not in {None, EVEN}:
        if "macs" in making.settings:
            return None
        sentence = f"Share the weights by the sizes of layers, so that small ones keep more (--allocation {EVEN})."
        changes = {"allocation": EVEN} | _unsaid(making, "allocation_options")
        return Remedy(sentence=sentence, command=making.again(changes))
    return None


def _floor(making: Making, evidence: Evidence) -> Remedy | None:
    said = making.settings
    channels, _, kept = _pruned(evidence)
    if "macs" in said:
        return None
    lost = evidence.value("dead-channels.dead") > 0 and ROOM * channels <= kept
    if (lost or making.choice == "scored") and not said.get("keep_alive") and not said.get("floor_channel"):
        sentence = "Keep a weight in every layer and in every output channel (--keep-alive)."
        return Remedy(sentence=sentence, command=making.again({"keep_alive": True}))
    if said.get("floor_channel", 0) < FLOOR and FLOOR * channels <= AFFORDABLE * kept:
        sentence = f"Keep {FLOOR} weights in every output channel (--floor-channel {FLOOR})."
        changes = {"floor_channel": FLOOR} | _unsaid(making, "keep_alive")
        return Remedy(sentence=sentence, command=making.again(changes))
    return None


def _denser(making: Making, evidence: Evidence) -> Remedy:
    said = making.settings
    changes: dict[str, Any] = {}
    if "macs" in said:
        changes["macs"] = _short(min(1.0, 2 * said["macs"]))
    if making.density is not None:
        changes |= _doubled(making.density)
    options = " ".join(f"--{name} {value:g}" for name, value in reversed(changes.items()) if value is not None)
    sentence = f"Keep more weights ({options})."
    return Remedy(sentence=sentence, command=making.again(changes | _room_for_skips(making, evidence)))


def _doubled(density: float) -> dict[str, Any]:
    """A recipe may say its density in another way."""
    return {"density": _short(min(1.0, 2 * density)), "sparsity": None, "compression": None}


def _room_for_skips(making: Making, evidence: Evidence) -> dict[str, Any]:
    """Skips that have a share of the budget, and no room for twice as much, leave the rest to the layers."""
    rows = evidence.layers.skips
    held, room = (sum(row.values[key] or 0 for row in rows) for key in ("kept", "weights"))
    return {"redistribute": True} if "skip_ratio" in making.settings and 2 * held > room else {}


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _unsaid(making: Making, *names: str) -> dict[str, Any]:
    """The settings that were given, and have to go."""
    return {name: None for name in names if name in making.settings}


def _pruned(evidence: Evidence) -> tuple[float, int, float]:
    """The output channels, the number and the kept weights of the layers that are not dense."""
    layers = [row for row in evidence.layers.of_kind(LAYER, BESIDE) if row.values["kept"] != row.values["weights"]]
    channels, kept = (sum(row.values[key] or 0 for row in layers) for key in ("out", "kept"))
    return channels, len(layers), kept
