"""`--show-completion fish`: completion for another shell than the one that runs the program, whose name is optional."""

from __future__ import annotations

from typing import Any

from typer.completion import install_callback, show_callback

from n2nsurgery.core.errors import UsageError
from n2nsurgery_cli.grouped import WholeLines

_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_OPTIONS = {"--install-completion": install_callback, "--show-completion": show_callback}


class Program(WholeLines):
    """The program's group of commands; typer's two options of completion take a name of a shell, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - of the parser that typer brings
        """What the parser makes of the arguments, unless they ask for a named shell's completion, which exits."""
        if len(args) == 2 and args[0] in _OPTIONS:  # noqa: PLR2004
            option, shell = args
            if shell not in _SHELLS:
                raise UsageError(f"{option}: there is no completion for '{shell}'; there is for {', '.join(_SHELLS)}")
            _OPTIONS[option](ctx, self.params[0], shell)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401
        """The options of the program."""
        found: list[Any] = super().get_params(ctx)
        for each in found:
            if set(each.opts) & _OPTIONS.keys():
                verb = "Install" if "--install-completion" in each.opts else "Show"
                each.help = f"{verb} completion for the current shell, or for one that is named: {', '.join(_SHELLS)}."
        return found
