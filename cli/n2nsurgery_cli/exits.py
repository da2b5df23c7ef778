"""Exit codes: what a script that calls us can rely on.

    0 done   1 the run failed   2 wrong usage   3 invalid file   4 verification failed   5 model not traceable
    130 interrupted

Codes 1 to 5 belong to the classes of n2nsurgery/core/errors.py; 2 is also what the option parser returns.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable

import typer

from n2nsurgery.core.errors import InternalError, N2NSurgeryError, UsageError
from n2nsurgery_cli.config_options import flag_of

FAILED = 1
INTERRUPTED = 130

_BUG = "this is a bug in n2nsurgery, not in what you asked for; run again with -vv and report what it prints"


def exit_code_of(run: Callable[[], object]) -> int:
    """Call `run` and return its exit code, after one message on stderr where it failed, with `--json` on stdout, too.

    The traceback is shown only where `-vv` set the log level to debug. SystemExit passes through.
    """
    try:
        run()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except InternalError as error:
        return _fail(f"{error}\n{_BUG}", error.exit_code)
    except N2NSurgeryError as error:
        return _fail(_told(error), error.exit_code, _option(error))
    except OSError as error:
        return _fail(_describe(error), FAILED)
    except Exception as error:  # noqa: BLE001 - the last stop before the interpreter's own traceback
        return _fail(f"{type(error).__name__}: {error}\n{_BUG}", FAILED)
    return 0


def _told(error: N2NSurgeryError) -> str:
    """The message, in which an option is called as it is on the command line."""
    return error.spelled(_option(error)) if isinstance(error, UsageError) else str(error)


def _option(error: N2NSurgeryError) -> str | None:
    """The option that the message is about, as it is called on the command line."""
    return flag_of(error.field) if isinstance(error, UsageError) and error.field is not None else None


def _describe(error: OSError) -> str:
    place = f" '{error.filename}'" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{place}; free some or choose another output"
    return f"cannot use{place or ' a file'}: {error.strerror or error}"


def _fail(message: str, code: int, option: str | None = None) -> int:
    if "--json" in sys.argv[1:]:
        typer.echo(json.dumps({"error": {"message": message, "option": option, "exit_code": code}}, indent=2))
    if logging.getLogger("n2nsurgery").isEnabledFor(logging.DEBUG):
        typer.echo(traceback.format_exc(), err=True, nl=False)
    typer.echo(f"{_coloured('error:')} {message}", err=True)
    return code


def _coloured(word: str) -> str:
    """`word` in red where somebody watches and has not asked for no colour."""
    watched = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return typer.style(word, fg=typer.colors.RED, bold=True) if watched else word
