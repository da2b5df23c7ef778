"""How the checks speak: an AssertionError that names the member and the promise it breaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
_PLAIN = (str, int, float, bool, type(None))


def expect(holds: bool, promise: str) -> None:  # noqa: FBT001 - a verdict
    """Return where `holds`; raises AssertionError with the promise that is broken."""
    if not holds:
        raise AssertionError(promise)


def keeps_all(member: T, checks: Iterable[Callable[[T], None]]) -> None:
    """Run `checks` on `member`; the AssertionError of the first that fails begins with the member's class."""
    for check in checks:
        try:
            check(member)
        except AssertionError as error:
            raise AssertionError(f"{type(member).__name__}: {error}") from error


def instance(member: Any) -> Any:  # noqa: ANN401 - a member of any registry, or its class
    """`member`, or where it is a class an instance with its defaults; AssertionError where it has none."""
    if not isinstance(member, type):
        return member
    try:
        return member()
    except TypeError as error:
        raise AssertionError(
            f"{member.__name__}: cannot be made without arguments ({error}); give every field a default, or check an "
            "instance"
        ) from error


def is_a_frozen_value(member: object) -> None:
    """Equal fields, equal members, with a hash: what a plan and a cache rest on."""
    expect(
        dataclasses.is_dataclass(member) and not isinstance(member, type),
        "is not a dataclass; write @dataclass(frozen=True, kw_only=True) above it, with its parameters as fields",
    )
    assert dataclasses.is_dataclass(member)
    same = dataclasses.replace(member)  # type: ignore[type-var]  # an instance, as expected above
    expect(same == member, "does not equal a copy of itself with the same fields; do not set eq=False")
    try:
        agree = hash(same) == hash(member)
    except TypeError as error:
        raise AssertionError(
            f"has no hash ({error}); freeze it and let its fields be numbers, texts or tuples"
        ) from error
    expect(agree, "has another hash than a copy of itself with the same fields")


def has_plain_fields(member: object) -> None:
    """A plan stores them: numbers, texts, true, false, None, or tuples of those."""
    for field in dataclasses.fields(member):  # type: ignore[arg-type]  # a dataclass, as checked before
        value = getattr(member, field.name)
        plain = isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(v, _PLAIN) for v in value))
        expect(
            plain, f"has the field {field.name} = {value!r}; a plan stores numbers, texts, booleans or tuples of those"
        )


def states_under(seeds: Iterable[int], compute: Callable[[], T]) -> list[T]:
    """What `compute` gives under different states of torch's global generator, which it must leave as it found it."""
    found = []
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            found.append(compute())
            untouched = torch.equal(torch.get_rng_state(), before)
            expect(untouched, "draws from torch's global generator; take the generator or the seed that is passed in")
    return found


def all_equal(one: Iterable[Tensor], other: Iterable[Tensor]) -> bool:
    """Whether two sequences hold equal tensors."""
    first, second = list(one), list(other)
    return len(first) == len(second) and all(map(torch.equal, first, second))
