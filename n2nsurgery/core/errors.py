"""The exception tree: the caller's mistakes in one branch, our bugs in the other.

Every message says what was wrong, the value seen, what is allowed or near, and what to do.
The exit code of the command line is a property of the class, so that no front end maps it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class N2NSurgeryError(Exception):
    """Root of everything this package raises on purpose; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class CallerError(N2NSurgeryError):
    """Something in the request, the environment or a file has to change."""


class UsageError(CallerError):
    """An option is unknown, out of range or contradicts another.

    `field`: the option that the message is about, by its name in Python, dotted inside of another (`optimizer.lr`);
    None where it is about no single one. `beside`: others that it is about as well. `problem`: the message without the
    field's name, which `joint` connects with it. Each front end writes the name in its own way, see `spelled`.
    """

    exit_code = 2

    def __init__(
        self, problem: str, *, field: str | None = None, beside: tuple[str, ...] = (), joint: str = ": "
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.field = field
        self.beside = beside
        self.joint = joint

    def __str__(self) -> str:
        return self.spelled(self.field)

    def spelled(self, name: str | None) -> str:
        """The message with `name` in place of the field's."""
        return self.problem if name is None else f"{name}{self.joint}{self.problem}"


class UnknownNameError(UsageError):
    """A name (model, criterion, layer pattern, ...) matches nothing; the message names the nearest."""


class BudgetError(UsageError):
    """The requested number of weights does not fit into the network as asked."""


class InvalidFileError(CallerError):
    """A plan, recipe or artifact is missing, damaged, altered or of a newer schema."""

    exit_code = 3


class VerificationError(CallerError):
    """A file was read or written, but does not do what it promises (parity, checksum, counts)."""

    exit_code = 4


class TraceError(CallerError):
    """The model cannot be traced; the message names the module and the source line."""

    exit_code = 5


class RunError(CallerError):
    """The run itself failed: no space, no device, a missing optional package."""


class LostProcessError(RunError):
    """Another process of the run failed or was killed; its own message says why."""


class InterruptionError(CallerError):
    """SIGINT or SIGTERM ended the run after its state was saved; the message says how to go on."""

    exit_code = 130


class InternalError(N2NSurgeryError):
    """A promise of ours does not hold; this is a bug to report, never the caller's mistake."""


def first_line(error: BaseException) -> str:
    """The first line of its message that says something, or the name of its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def about(field: str) -> Iterator[None]:
    """Inside, a UsageError is about `field`, or about its part that the error names already."""
    try:
        yield
    except UsageError as error:
        error.field = field if error.field is None else f"{field}.{error.field}"
        raise
