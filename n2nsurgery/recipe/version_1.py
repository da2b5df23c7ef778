"""Recipes of version 1, which versions up to 0.1.0 wrote: the surgery section in the names and defaults of today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from n2nsurgery.core.config.options import config_fields
from n2nsurgery.recipe.node import Node
from n2nsurgery.recipe.overrides import Override
from n2nsurgery.surgery.planning.config import SurgeryConfig

_FORMER = MappingProxyType(
    {each.option.former.name: (each.name, each.option.former.values) for each in config_fields(SurgeryConfig)
     if each.option.former is not None}
)  # fmt: skip
_OWN = MappingProxyType({"granularity": "weight", "scope": "global"})  # defaults that are the criterion's own now
_DIVIDED_BY_ERK = ("fixed-fan", "clash-free", "expander")  # uniform of themselves, ERK by the section's default


def upgraded(root: Node) -> Node:
    """A document of version 1 as one of version 2; anything else as it is."""
    members = root.members or {}
    version = members.get("version")
    if version is None or isinstance(version.content, bool) or version.content != 1:
        return root
    sections = {**members, "version": replace(version, content=2)}
    surgery = members.get("surgery")
    if surgery is not None and surgery.members is not None and "artifact" not in surgery.members:
        sections["surgery"] = replace(surgery, content=_surgery(surgery, surgery.members))
    return replace(root, content=sections)


def renamed(override: Override) -> Override:
    """`override` with a key and a value of version 1 in the names of today."""
    section, _, key = override.path.partition(".")
    if section != "surgery" or key not in _FORMER:
        return override
    name, values = _FORMER[key]
    return replace(override, path=f"surgery.{name}", value=_translated(override.value, values))


def _surgery(section: Node, members: Mapping[str, Node]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for key, node in members.items():
        name, values = _FORMER.get(key, (key, {}))
        if node.content is not None and _OWN.get(name) != node.content:
            found[name] = _translated(node, values)
    for name in ("fan_out", "junction_density"):
        if name in found:
            found[name] = _as_mapping(found[name])

    def add(name: str, value: str) -> None:
        found[name] = Node(content=value, place=section.key_place, key_place=section.key_place)

    said = {name: node.content for name, node in found.items()}
    if said.get("skip_pattern") == "random" and not {"preset", "skip_kernel"} & said.keys():
        add("skip_kernel", "target")
    criterion = str(said.get("criterion", "")).lower().replace("_", "-")
    if criterion in _DIVIDED_BY_ERK and said.get("allocation") is None and "preset" not in said:
        add("allocation", "erk")
    return found


def _translated(node: Node, values: Mapping[str, str]) -> Node:
    return replace(node, content=values.get(node.content, node.content)) if isinstance(node.content, str) else node


def _as_mapping(node: Node) -> Node:
    """A list of pairs, as resolved recipes of version 1 have it, as a mapping; anything else as it is."""
    if not isinstance(node.content, tuple):
        return node
    named: dict[str, Node] = {}
    for pair in node.content:
        match pair.content:
            case (Node(content=str(name)) as key, Node() as value):
                named[name] = replace(value, key_place=key.place)
            case _:
                return node
    return replace(node, content=named)
