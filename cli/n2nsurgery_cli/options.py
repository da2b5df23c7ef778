"""Every option of the command line, declared once: what it is called, what it means, which values it takes.

Closed sets of values are checked by the requests that pipelines take, whose messages name the nearest value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2nsurgery.pipelines.prune.apply_request import parse_input_size, parse_skip_ratio
from n2nsurgery.surgery.planning.request import CHOICES


def _one_of(field: str) -> str:
    return "|".join(CHOICES[field])


# The model
Model = Annotated[str, typer.Argument(help="torchvision name, timm:NAME, package.module:factory or a built-in family")]
AnyModel = Annotated[
    str,
    typer.Argument(metavar="MODEL|ARTIFACT|FILE", help="a model as for apply, an artifact's folder, or an .onnx file"),
]
Weights = Annotated[
    str | None, typer.Option(metavar="NAME|FILE", help="pretrained weights of the source, or a safetensors file")
]
Download = Annotated[bool, typer.Option("--download", help="allow fetching the pretrained weights")]
AllowImport = Annotated[bool, typer.Option("--allow-import", help="run the factory that names the model")]
NumClasses = Annotated[int | None, typer.Option(metavar="N", help="outputs of the model; default: the source's own")]
InputSize = Annotated[str | None, typer.Option(metavar="CxHxW", help="shape of one sample; default: the source's own")]

# The budget
Density = Annotated[float | None, typer.Option(metavar="D", help="kept fraction of the weights, in (0, 1]")]
Sparsity = Annotated[float | None, typer.Option(metavar="S", help="the same as --density 1-S")]
Compression = Annotated[float | None, typer.Option(metavar="C", help="the same as --density 1/C")]
FanOut = Annotated[
    list[str] | None,
    typer.Option(metavar="LAYER=N", help="connections of every input neuron of a layer; repeatable"),
]
JunctionDensity = Annotated[
    list[str] | None, typer.Option(metavar="LAYER=D", help="kept fraction of one layer; repeatable")
]
Tries = Annotated[int, typer.Option(metavar="N", help="patterns drawn, of which --select keeps one")]
Select = Annotated[str | None, typer.Option(metavar=_one_of("select"), help="what the best pattern is")]
SkipRatio = Annotated[
    str | None,
    typer.Option(metavar="R|auto", help="share of the budget for skips, in [0, 1); auto: what one-to-one needs"),
]
Redistribute = Annotated[bool, typer.Option("--redistribute", help="move what does not fit to where there is room")]
FloorLayer = Annotated[int, typer.Option(metavar="N", help="keep at least N weights in every layer")]
FloorChannel = Annotated[int, typer.Option(metavar="N", help="keep at least N weights in every output channel")]

# Who survives
Criterion = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="random (rp), snip (csp), magnitude, grasp, synflow, fixed-fan, clash-free, expander"
    ),
]
Allocation = Annotated[
    str | None, typer.Option(metavar=_one_of("allocation"), help="how random shares the budget; default: erk")
]
Granularity = Annotated[str, typer.Option(metavar=_one_of("granularity"), help="what is kept or pruned as one")]
Scope = Annotated[str, typer.Option(metavar=_one_of("scope"), help="where scores compete")]
KeepDense = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="layers left dense; repeatable")]
Batches = Annotated[int, typer.Option(metavar="N", help="batches of seeded noise that scores are computed on")]
BatchSize = Annotated[int, typer.Option(metavar="N", help="samples in each of them")]

# What is grafted
Skip = Annotated[str, typer.Option(metavar=_one_of("skip"), help="kind of skip connection")]
SkipPattern = Annotated[
    str | None, typer.Option(metavar=_one_of("skip_pattern"), help="which neurons meet; default: one-to-one")
]
SkipKernel = Annotated[
    str | None,
    typer.Option(metavar=_one_of("skip_kernel"), help="default: auto (1 where that holds the budget), random: target"),
]
SkipLength = Annotated[int, typer.Option(metavar="K", help="weighted layers from source to target")]
Pairs = Annotated[str, typer.Option(metavar=_one_of("pairs"), help="which pairs of layers get a skip")]
Shortcuts = Annotated[
    str | None,
    typer.Option(
        metavar=_one_of("shortcuts"), help="targets whose sum holds a shortcut; default: around, paper: plain"
    ),
]
NumPairs = Annotated[int | None, typer.Option(metavar="N", help="how many pairs --pairs random draws")]
Include = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="only skips that touch it; repeatable")]
Exclude = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="no skip that touches it; repeatable")]
Pooling = Annotated[str, typer.Option(metavar=_one_of("pooling"), help="how a larger source is brought to size")]
Heads = Annotated[bool, typer.Option("--heads/--no-heads", help="whether output layers may be targets")]
Preset = Annotated[str | None, typer.Option(metavar=_one_of("preset"), help="the paper's literal setting")]

# Training
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="a YAML file; `n2nsurgery recipe init` begins one")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="a value of the recipe, like train.epochs=5; repeatable"),
]
Gpus = Annotated[int | None, typer.Option(metavar="N", help="processes, one for each GPU; default: this one alone")]
Resume = Annotated[
    str | None,
    typer.Option(metavar="[auto|RUN]", help="go on: auto with this recipe's run, begun where there is none"),
]
AllowChanges = Annotated[
    bool, typer.Option("--allow-changes", help="resume with a changed recipe where training permits it")
]
DeviceInstead = Annotated[
    str | None, typer.Option("--device", metavar="auto|cpu|cuda:N", help="the same as --set train.device=...")
]
DataRoot = Annotated[Path | None, typer.Option(metavar="DIR", help="where data sets lie; default: $N2NSURGERY_DATA")]
DownloadData = Annotated[bool, typer.Option("--download", help="allow fetching data and pretrained weights")]
Last = Annotated[bool, typer.Option("--last", help="of a run, its newest weights instead of its best")]

# The file
OnnxFile = Annotated[Path, typer.Argument(metavar="FILE", help="an .onnx file")]
Format = Annotated[
    str,
    typer.Option(metavar="portable|dense|inlined", help="coded weights, ordinary ones, or codes in standard operators"),
]
Values = Annotated[str, typer.Option(metavar="fp32|fp16|int8", help="what coded weights are stored as")]
Summarize = Annotated[bool, typer.Option("--report", help="put a summary of its connectivity into the metadata")]
Measure = Annotated[
    bool, typer.Option("--measure", help="time each layer, sparse against dense, and keep what is faster here")
]
Compact = Annotated[bool, typer.Option("--compact", help="remove channels that are provably constant or unused")]
Library = Annotated[
    Path | None, typer.Option(metavar="FILE", help="the sparse runtime's library; default: the installed one")
]
Provider = Annotated[str, typer.Option("--provider", "--device", metavar="cpu|cuda|tensorrt[:N]", help="where to run")]
Threads = Annotated[int, typer.Option(metavar="N", help="threads inside one operator; 0 for all cores")]
Batch = Annotated[int, typer.Option(metavar="N", help="samples in a batch")]
Seconds = Annotated[float, typer.Option(metavar="S", help="time to spend on measuring")]
Layers = Annotated[bool, typer.Option("--layers", help="show the time of every layer")]

# The channel graph
Conductance = Annotated[
    str, typer.Option(metavar="l1|l2|count|binary", help="what the weights between two channels add up to")
]
Identity = Annotated[str, typer.Option(metavar="edges|none", help="whether shortcuts without weights make edges")]
BatchNorm = Annotated[
    str, typer.Option("--batchnorm", metavar="folded|ignored", help="whether BatchNorm scales the weights before it")
]
MaxNodes = Annotated[int, typer.Option(metavar="N", help="largest channel graph to build")]

# The run
Seed = Annotated[int, typer.Option(metavar="N", help="every random draw derives from it")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda:N", help="where tensors are computed")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="PATH", help="where to write")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what is there; refused by default")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print the plan, write nothing")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no tables and no progress")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="log more; -vv adds tracebacks")
]


def skip_ratio(text: str | None) -> float | str | None:
    """The value of `--skip-ratio`."""
    return None if text is None else parse_skip_ratio(text)


def input_size(text: str | None) -> tuple[int, ...] | None:
    """The value of `--input-size`."""
    return None if text is None else parse_input_size(text)
