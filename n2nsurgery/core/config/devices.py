"""Names of devices, as every front end takes them; looking for the device itself needs torch and stands elsewhere."""

from __future__ import annotations

import re

from n2nsurgery.core.errors import UsageError

ALLOWED = "auto, cpu, cuda or cuda:N"
_NAMES = re.compile(r"auto|cpu|cuda(:\d+)?")


def is_device_name(name: object) -> bool:
    """Whether `name` is auto, cpu, cuda or cuda:N."""
    return isinstance(name, str) and _NAMES.fullmatch(name) is not None


def require_device(name: object) -> None:
    """Return where `name` is that of a device; raises UsageError."""
    if not is_device_name(name):
        raise UsageError(f"is {name!r}; it must be {ALLOWED}", field="device", joint=" ")
