"""Making: how a network was pruned, so that a remedy can be said as a command that prunes it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from n2nsurgery.core.config.options import config_fields

Choice = Literal["drawn", "regular", "scored"]
Style = Literal["options", "overrides", "keywords"]
_OPTIONS = "_options"


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a network was pruned.

    `settings`: the fields of the SurgeryConfig that differ from its defaults, by name. `density`: what was asked for,
    as a share in (0, 1], None where layers say it. `choice`: whether patterns are drawn that can keep any number of
    weights, or regular ones that cannot, or weights are scored. `words`: what the command begins with, "" where none
    can be given. `style`: whether the command takes all settings as options (`n2nsurgery apply`), the changed ones as
    overrides (`n2nsurgery train`), or all as keyword arguments in Python. `layers`: the names of what was
    pruned, which settings by layer take; None where they are not known.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    density: float | None = None
    choice: Choice = "drawn"
    words: str = ""
    style: Style = "options"
    layers: frozenset[str] | None = None

    def layer(self, row: str) -> str | None:
        """The layer of a row of the report, of which `h#2` is the second call; None where a setting has no such name.

        Rows of weights that are computed from others are such.
        """
        if self.layers is None or row in self.layers:
            return row
        called = row.rpartition("#")[0]
        return called if called in self.layers else None

    def again(self, changes: Mapping[str, Any]) -> str:
        """The command that prunes with some settings changed; a change to None is a return to the default."""
        if not self.words or not changes:
            return ""
        if self.style == "overrides":  # a member that is named anew has no options
            named = {name: value for name, value in changes.items() if not name.endswith(_OPTIONS)}
            said = [f"--set {shlex.quote(f'surgery.{name}={_flow(value)}')}" for name, value in named.items()]
            return " ".join((self.words, *said))
        merged = {name: value for name, value in {**self.settings, **changes}.items() if not _is_default(value)}
        if self.style == "keywords":
            return f"{self.words}{''.join(f', {name}={value!r}' for name, value in merged.items())})"
        return " ".join((self.words, *(word for name, value in merged.items() for word in _words(name, value))))


def _is_default(value: object) -> bool:
    return value is None or value is False or value in ({}, ())


def _flow(value: object) -> str:
    """A value as `--set` takes it: YAML, of which JSON is a part."""
    return value if isinstance(value, str) else json.dumps(value)


def _words(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - a field of the config
    """The option of the command line that sets a field."""
    option = f"--{(name.removesuffix('s') if name.endswith(_OPTIONS) else name).replace('_', '-')}"
    if isinstance(value, bool):
        yield option
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield f"{option} {shlex.quote(f'{key}={each}')}"
    elif isinstance(value, list | tuple):
        for each in value:
            yield f"{option} {shlex.quote(str(each))}"
    else:
        yield f"{option} {shlex.quote(str(value))}"


def changed_settings(config: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    """The fields of a config that do not have their default, by name."""
    kind: type = type(config)
    made = {each.name: (getattr(config, each.name), each.default) for each in config_fields(kind)}
    return {name: value for name, (value, default) in made.items() if value != default}
