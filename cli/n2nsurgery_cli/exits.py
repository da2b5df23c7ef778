"""Exit codes: what a script that calls us can rely on.

    0 done   1 the run failed   2 wrong usage   3 invalid file   4 verification failed   5 model not traceable
    130 interrupted   141 whoever read stdout has gone, as `head` does

Codes 1 to 5 belong to the classes of n2nsurgery/core/errors.py; 2 is also what the option parser returns.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from n2nsurgery.core.errors import InternalError, N2NSurgeryError, UsageError
from n2nsurgery_cli.config_options import flag_of

FAILED = 1
INTERRUPTED = 130
READER_GONE = 141
"""As a shell tells it of a program that SIGPIPE ended: 128 + 13."""

_MISREAD: Any = typer.BadParameter.__base__  # the base of all errors of the option parser; it has no public name
_BUG = "this is a bug in n2nsurgery, not in what you asked for; run again with -vv and report what it prints"


def exit_code_of(run: Callable[[], object]) -> int:
    """Call `run` and return its exit code, after one message on stderr where it failed, with `--json` on stdout, too.

    An integer that `run` returns is its exit code. The traceback is shown only where `-vv` set the log level to debug.
    SystemExit passes through. Nothing is said where stdout is a pipe whose reader has gone.
    """
    try:
        with _noted_interrupts() as interrupts:
            code = _exit_code(run, interrupts)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the interpreter flushes at its end
    except SystemExit as ending:
        if not isinstance(ending.__context__, BrokenPipeError):  # rich and the option parser make an exit of it
            raise
    else:
        return code
    return READER_GONE


def _exit_code(run: Callable[[], object], interrupts: list[int]) -> int:
    try:
        code = run()
    except _MISREAD as error:
        error.show()
        _as_json(error.format_message(), error.exit_code, _misread_option(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last stop before the interpreter's own traceback
        if not interrupts:
            return _failed(error)
        code = INTERRUPTED  # an import that Ctrl-C has broken off ends in any error, an AttributeError of numpy's
    if code == INTERRUPTED:  # here, or in a command, whose Ctrl-C the parser turns into this code
        return _fail("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _failed(error: Exception) -> int:
    """Tell an error; its exit code."""
    if isinstance(error, N2NSurgeryError):
        return _fail(_told(error), error.exit_code, _option(error))
    return _fail(_describe(error) if isinstance(error, OSError) else _unexpected(error), FAILED)


@contextmanager
def _noted_interrupts() -> Iterator[list[int]]:
    """The interrupts (Ctrl-C) that have come inside; each raises KeyboardInterrupt, which a library may catch."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield seen
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _misread_option(error: Any) -> str | None:  # noqa: ANN401 - an error of the option parser
    """The option that the parser stopped at."""
    named = getattr(error, "option_name", None)
    parameter = getattr(error, "param", None)
    if named is None and parameter is not None and parameter.param_type_name == "option":
        named = parameter.opts[0]
    return named


def _told(error: N2NSurgeryError) -> str:
    """The message, in which an option is called as it is on the command line."""
    if isinstance(error, InternalError):
        return f"{error}\n{_BUG}"
    return error.spelled(_option(error)) if isinstance(error, UsageError) else str(error)


def _option(error: N2NSurgeryError) -> str | None:
    """The option that the message is about, as it is called on the command line."""
    return flag_of(error.field) if isinstance(error, UsageError) and error.field is not None else None


def _unexpected(error: BaseException) -> str:
    """What no part of the program expects: too little memory, of which each library has its own error, or a bug."""
    if isinstance(error, typer.Abort) and error.__cause__ is not None:  # what the parser makes of an EOFError
        error = error.__cause__
    if isinstance(error, MemoryError) or re.search(r"\bout of memory\b|allocate memory\b|\bbad[ _]alloc", str(error)):
        return f"there is not enough memory: {str(error).strip() or 'MemoryError'}; smaller batches or inputs need less"
    return f"{type(error).__name__}: {error}\n{_BUG}"


def _describe(error: OSError) -> str:
    if error.errno == errno.ENOMEM:
        return _unexpected(MemoryError(error.strerror))
    place = f" '{error.filename}'" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{place}; free some or choose another output"
    return f"cannot use{place or ' a file'}: {error.strerror or error}"


def _fail(message: str, code: int, option: str | None = None) -> int:
    _as_json(message, code, option)
    if sys.exc_info()[0] is not None and logging.getLogger("n2nsurgery").isEnabledFor(logging.DEBUG):
        typer.echo(traceback.format_exc(), err=True, nl=False)
    typer.echo(f"{_coloured('error:')} {message}", err=True)
    return code


def _as_json(message: str, code: int, option: str | None) -> None:
    """Write the error as a document where that is asked for."""
    if "--json" in sys.argv[1:]:
        typer.echo(json.dumps({"error": {"message": message, "option": option, "exit_code": code}}, indent=2))


def _coloured(word: str) -> str:
    """`word` in red where somebody watches and has not asked for no colour."""
    watched = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return typer.style(word, fg=typer.colors.RED, bold=True) if watched else word
