"""Tables about ONNX files: what was written, what is inside, how fast it runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.text import Text

from n2nsurgery.core.names import counted
from n2nsurgery_cli.console.output import Document, again, size_text
from n2nsurgery_cli.console.tables import draw_facts, draw_line, draw_table, draw_warning

_MOST_REASONS = 5
_SAMPLE_BY_SAMPLE = "computed sample by sample"


def draw_export(console: Console, document: Document) -> None:
    """The file that was written and how closely it reproduces the artifact."""
    identical = {True: ", bit for bit as the dense form", False: ", not bit for bit as the dense form"}
    draw_facts(
        console,
        {
            "artifact": document["artifact"],
            "ONNX file": f"{document['onnx']}{again(document)}",
            "size": f"{_size(document['bytes'], document['ideal_size'])}",
            "format": _form(document["config"]),
            "weights": _codes(document["weights"]),
            "parity": f"{document['max_relative_difference']:.3g} of the largest output, torch against ONNX Runtime"
            + identical.get(document["identical"], ""),
        },
    )
    if not any(line["scale"] for line in document["parity"]):
        draw_warning(console, "the network's output is all zero, so parity proves little")
    if document["config"]["format"] != "dense":
        _draw_dense(console, document["weights"])
    if document["removed_channels"]:
        total = sum(document["removed_channels"].values())
        console.print(Text(f"compaction removed {total:,} channels"))


def draw_compress(console: Console, document: Document) -> None:
    """The file that was written beside the one that was read, and how closely it reproduces it."""
    before, after = document["source_size"], document["size"]
    links: dict[str, float] = {}
    for line in document["parity"]:
        name = f"{line['subject']} against {line['reference']}"
        links[name] = max(links.get(name, 0.0), line["difference"])
    draw_facts(
        console,
        {
            "original": f"{document['source']}, {before / 1e6:.2f} MB",
            "ONNX file": f"{document['onnx']}, {after / 1e6:.2f} MB, {before / after:.1f} times smaller"
            + again(document),
            "format": _form(document["config"]),
            "weights": _codes(document["weights"]),
        },
    )
    rows = [(name, f"{difference:.3g}") for name, difference in links.items()]
    draw_table(console, "outputs", ("compared in ONNX Runtime", "largest difference"), rows)
    for note in document["notes"]:
        console.print(Text(f"note: {note}"))
    _draw_dense(console, document["weights"])


def draw_file(console: Console, document: Document) -> None:
    """What a file says of itself, beside the count of its weights."""
    summary = (document["metadata"] or {}).get("summary") or {}
    connectivity = (document["metadata"] or {}).get("connectivity")
    source = (document["metadata"] or {}).get("source") or {}
    deployment = (document["metadata"] or {}).get("deployment") or {}
    mac_density = document["mac_density"]
    draw_facts(
        console,
        {
            "ONNX file": document["onnx"],
            "model": summary.get("model") or source.get("file", "unknown: the file has no metadata of ours"),
            "size": _size(document["bytes"], document["ideal_size"]),
            "opset": f"{document['opset']}, IR version {document['ir_version']}",
            "inputs": ", ".join(document["inputs"]),
            "outputs": ", ".join(document["outputs"]),
            **({"batch": _SAMPLE_BY_SAMPLE} if deployment.get("sample_loop") else {}),
            "weights": _codes(document["weights"]),
            "MACs": f"{mac_density:.4f} of the dense model's" if mac_density is not None else "unknown",
            "masks": summary.get("mask_fingerprint", "unknown"),
            **({"connectivity": connectivity["headline"]} if connectivity else {}),
        },
    )
    rows = [
        (
            weight["name"],
            size_text(weight["shape"]),
            f"{weight['recounted']:,}",
            f"{weight['density']:.4f}",
            weight["code"],
            _computed(weight),
        )
        for weight in document["weights"]
    ]
    columns = ("weight", "stored shape", "kept", "density", "code", "computed")
    draw_table(console, counted(len(rows), "weight"), columns, rows)
    _draw_dense(console, document["weights"])
    for name in document["disagreements"]:
        draw_warning(console, f"the tensors of {name} do not hold what the metadata says")


def draw_verify(console: Console, document: Document) -> None:
    """What was proven of a file."""
    draw_facts(
        console,
        {
            "ONNX file": document["path"],
            "weights": f"{document['weights']} hold what the metadata says",
            "masks": _masks(document),
        },
    )
    rows = [
        (line["subject"], line["reference"], line["output"], line["batch"], f"{line['difference']:.3g}")
        for line in document["parity"]
    ]
    draw_table(console, "outputs", ("computed by", "against", "output", "batch", "difference"), rows)


def _form(config: Document) -> str:
    """`portable, fp32 values`, and how it computes a batch where that was chosen."""
    return f"{config['format']}, {config['values']} values" + (
        f", a batch {_SAMPLE_BY_SAMPLE}" if config["sample_loop"] else ""
    )


def _draw_dense(console: Console, weights: list[Document]) -> None:
    reasons = Counter(weight["reason"] for weight in weights if weight["computed"] == "dense")
    if reasons:
        rows = [(count, reason) for reason, count in reasons.most_common(_MOST_REASONS)]
        draw_table(console, f"{reasons.total()} computed densely", ("times", "reason"), rows)


def _masks(document: Document) -> str:
    matching, other = len(document["masked"]), len(document["unchecked"])
    if not matching and not other:
        return "not compared: no artifact was given (--against)"
    return f"{matching} match, {other} have no counterpart"


def draw_bench(console: Console, document: Document) -> None:
    """Latency, ratio, loading and size of one file or two."""
    sides = [side for side in (document["model"], document["other"]) if side is not None]
    settings = document["settings"]
    threads = counted(settings["threads"], "thread") if settings["threads"] else "all threads"
    shapes = [f"{name} {size_text(shape)}" for name, shape in settings["input_shapes"].items()]
    fed = ", ".join(shapes) or f"batch {settings['batch']}"
    where = f"{settings['device']}, {threads}, {fed}"
    title = f"ONNX Runtime {document['onnxruntime']}, {where}, {document['rounds']} rounds"
    rows = zip(*(_side(side) for side in sides), strict=True)
    names = ("latency, median", "latency, quartiles", "load", "first run", "memory, resident", "memory, peak", "size")
    called = [f"{Path(side['path']).name}{' with library' if side['libraries'] else ''}" for side in sides]
    draw_table(console, title, ("", *called), [(name, *row) for name, row in zip(names, rows, strict=True)])
    if document["ratio"] is not None:
        low, middle, high = document["ratio"]
        one, other = called
        quartiles = f"quartiles {low:.2f} to {high:.2f}"
        draw_line(console, f"{one} is {middle:.2f} times as fast as {other} ({quartiles})")
    for name, side in zip(called, sides, strict=True):
        layers = [(layer["name"], layer["operator"], f"{layer['seconds'] * 1e3:.3f}") for layer in side["layers"]]
        if layers:
            draw_table(console, name, ("layer", "operator", "ms"), layers)


def _side(side: Document) -> tuple[str, ...]:
    low, middle, high = (f"{seconds * 1e3:.2f}" for seconds in side["latency"])
    loading = side["loading"]
    return (
        f"{middle} ms",
        f"{low} to {high} ms",
        f"{loading['load']:.2f} s",
        f"{loading['first'] * 1e3:.1f} ms",
        _megabytes(loading["resident"]),
        _megabytes(loading["peak"]),
        _size(side["size"], side["ideal_size"]),
    )


def _codes(weights: list[Document]) -> str:
    counts = Counter(f"{weight['code']}, computed {_computed(weight)}" for weight in weights)
    return "; ".join(f"{count} {code}" for code, count in counts.most_common())


def _computed(weight: Document) -> str:
    """Which kernel computes with the weight, and in integers where it does."""
    return f"{weight['computed']}{', in integers' if weight['arithmetic'] == 'integers' else ''}"


def _size(size: int, ideal: float) -> str:
    return f"{size / 1e6:.2f} MB" + (f", {size / ideal:.2f} times the ideal size" if ideal else "")


def _megabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:.0f} MB"
