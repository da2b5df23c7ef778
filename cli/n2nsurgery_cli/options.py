"""Every option of the command line, declared once: what it is called, what it means, which values it takes.

Closed sets of values are checked by the requests that pipelines take, whose messages name the nearest value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.surgery.planning import presets
from n2nsurgery_cli import completion

# The model
Model = Annotated[
    str,
    typer.Argument(
        help="a name as `models` lists it, timm:NAME, hf:FOLDER, file.py:Net or package.module:factory",
        autocompletion=completion.models,
    ),
]
AnyModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|ARTIFACT|FILE",
        help="a model as for apply, an artifact's folder, or an .onnx file",
        autocompletion=completion.networks,
    ),
]
AllowImport = Annotated[bool, typer.Option("--allow-import", help="run named code: a model's factory, plugins")]

# Surgery; its other options are those of SurgeryConfig
Preset = Annotated[presets.Preset | None, typer.Option(metavar="|".join(presets.PRESETS), help=presets.PRESET_HELP)]

# Training
RecipeFile = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE",
        help="a YAML file (`n2nsurgery recipe init` begins one), or recipe:NAME as `n2nsurgery recipe list` shows them",
        autocompletion=completion.recipes,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="a value of the recipe, like train.epochs=5; repeatable"),
]
Last = Annotated[bool, typer.Option("--last", help="of a run, its newest weights instead of its best")]

# The file
OnnxFile = Annotated[Path, typer.Argument(metavar="FILE", help="an .onnx file", autocompletion=completion.onnx_files)]
Library = Annotated[
    Path | None, typer.Option(metavar="FILE", help="the sparse runtime's library; default: the installed one")
]
Provider = Annotated[str, typer.Option("--provider", "--device", metavar="cpu|cuda|tensorrt[:N]", help="where to run")]
Threads = Annotated[int, typer.Option(metavar="N", help="threads inside one operator; 0 for all cores")]
Batch = Annotated[int, typer.Option(metavar="N", help="samples in a batch")]
Seconds = Annotated[float, typer.Option(metavar="S", help="time to spend on measuring")]
Layers = Annotated[bool, typer.Option("--layers", help="show the time of every layer")]

# The run
Seed = Annotated[int, typer.Option(metavar="N", help="every random draw derives from it")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda:N", help="where tensors are computed")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="PATH", help="where to write")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what is there; refused by default")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no tables and no progress")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="log more; -vv adds tracebacks")
]
