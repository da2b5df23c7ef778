"""The exception tree: the caller's mistakes in one branch, our bugs in the other.

Every message says what was wrong, the value seen, what is allowed or near, and what to do.
The exit code of the command line is a property of the class, so that no front end maps it again.
"""

from __future__ import annotations

from typing import ClassVar


class N2NSurgeryError(Exception):
    """Root of everything this package raises on purpose; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class CallerError(N2NSurgeryError):
    """Something in the request, the environment or a file has to change."""


class UsageError(CallerError):
    """An option is unknown, out of range or contradicts another."""

    exit_code = 2


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
