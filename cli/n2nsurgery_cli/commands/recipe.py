"""`n2nsurgery recipe`: begin, check and describe recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.recipe.shipped import PREFIX, about, recipe_file, shipped
from n2nsurgery_cli import completion, options
from n2nsurgery_cli.grouped import GroupedCommand, WholeLines
from n2nsurgery_cli.plugin_option import takes_plugins
from n2nsurgery_cli.session import session

recipe = typer.Typer(
    name="recipe", cls=WholeLines, no_args_is_help=True, rich_markup_mode=None, help="Begin, check, describe recipes."
)


@recipe.command(cls=GroupedCommand)
@takes_plugins
def check(
    file: options.RecipeFile,
    set_: options.Set = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Read a recipe and print it with every default filled in.

    Exit code 3 where it is wrong, with the line, the column and what is allowed.
    """
    with session(quiet=quiet, verbose=verbose):
        from n2nsurgery.pipelines.training.check_recipe import check

        checked = check(recipe_file(file), tuple(set_ or ()))
        document = {"recipe": checked.to_json(), "recipe_hash": checked.hash}
        text = checked.to_yaml()
    if json:
        from n2nsurgery_cli.console.output import print_json

        print_json(document)
    elif not quiet:
        typer.echo(f"# {file} is valid; as it is carried out (hash {checked.hash[:8]}):\n{text}", nl=False)


@recipe.command("list", cls=GroupedCommand)
def list_(json: options.Json = False) -> None:
    """List the recipes that come with n2nsurgery; `train`, `sweep` and `recipe check` take them by these names."""
    from n2nsurgery_cli.console.output import draw_recipes, show

    named = [{"name": f"{PREFIX}{name}", "about": about(path), "file": str(path)} for name, path in shipped().items()]
    show({"recipes": named}, draw_recipes, as_json=json, quiet=False)


@recipe.command(cls=GroupedCommand)
@takes_plugins
def init(
    file: Annotated[Path, typer.Argument(help="the recipe to write")] = Path("recipe.yaml"),
    model: Annotated[
        str, typer.Option(metavar="NAME", help="a model, as for apply", autocompletion=completion.models)
    ] = "cifar-plain17",
    data: Annotated[
        str, typer.Option(metavar="NAME", help="a data set", autocompletion=completion.data_sets)
    ] = "cifar10",
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Write a recipe to start from, with every default as a comment."""
    with session(quiet=quiet, verbose=verbose):
        from n2nsurgery.core.files import atomic_file
        from n2nsurgery.models.catalog import require_known
        from n2nsurgery.recipe.starter import starter

        require_known(model)
        text = starter(model, data)
        with atomic_file(file, overwrite=overwrite) as staging:
            staging.write_text(text, encoding="utf-8")
    typer.echo(str(file) if quiet else f"recipe: {file}")


@recipe.command(cls=GroupedCommand)
@takes_plugins
def schema(quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Print the JSON schema of recipes, for editors."""
    with session(quiet=quiet, verbose=verbose):
        from n2nsurgery.recipe.schema import json_schema

        document = json_schema()

    from n2nsurgery_cli.console.output import print_json

    print_json(document)
