"""Where the program begins: Ctrl-C also ends it in one line while its modules are being imported."""

from __future__ import annotations

import sys


def start() -> None:
    """Import the command line and run it; exits with its code."""
    try:
        from n2nsurgery_cli.main import main

        main()
    except KeyboardInterrupt:
        sys.exit(_interrupted())


def _interrupted() -> int:
    """What exits.py says and returns, which may not have been imported yet."""
    if "--json" in sys.argv[1:]:
        sys.stdout.write('{"error": {"message": "interrupted", "option": null, "exit_code": 130}}\n')
    sys.stderr.write("error: interrupted\n")
    return 130
