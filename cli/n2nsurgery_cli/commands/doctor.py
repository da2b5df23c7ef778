"""`n2nsurgery doctor`: what this machine offers."""

from __future__ import annotations

from n2nsurgery_cli import options
from n2nsurgery_cli.session import session


def doctor(
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Show what this machine offers.

    Versions, devices, the providers of ONNX Runtime and the C++ compiler: what a bug report needs.
    """
    with session(quiet=quiet, verbose=verbose):
        from n2nsurgery.pipelines.deploy.doctor import run

        outcome = run().to_json()

    from n2nsurgery_cli.console.output import draw_doctor, show

    show(outcome, draw_doctor, as_json=json, quiet=False)
