"""The report's page in a browser: no error, every mark drawn, readable in light, dark, on a phone and on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from n2nsurgery.connectivity import Block, ChannelGraph, NodeGroup, Origin, Subject, identity_block
from n2nsurgery.connectivity.page.render import render
from n2nsurgery.connectivity.report.report import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: install chromium")

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--enable-logging=stderr", "--virtual-time-budget=3000",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
WIDTH = 16
LAYERS = 12
NASTY = """</script><script>document.title='broken'</script><b title='"'>"""

# What a reader would do, told as one JSON document: walk through every figure by keyboard, open the tables, sort.
PROBE = """
<script>
{
const told = { tips: {}, tables: {}, links: [] };
for (const canvas of document.querySelectorAll("[data-figure]")) {
  const places = [...canvas.querySelectorAll("[tabindex='0']")];
  told.tips[canvas.dataset.figure] = places.map((place) => {
    place.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    const shown = document.getElementById("tip").hidden ? "" : document.getElementById("tip").textContent;
    place.dispatchEvent(new Event("blur"));
    return shown;
  });
}
for (const place of document.querySelectorAll("[data-table]")) {
  place.parentElement.open = true;
  place.parentElement.dispatchEvent(new Event("toggle"));
  told.tables[place.dataset.table] = place.querySelectorAll("tbody tr").length;
}
const rows = () => [...document.querySelectorAll("#layer-table tbody tr")].filter((row) => !row.hidden);
const column = (n) => rows().map((row) => row.cells[n].textContent);
const heads = document.querySelectorAll("#layer-table thead button");
heads[5].click();
told.kept = column(5);
heads[5].click();
told.keptAgain = column(5);
document.querySelector(".tools [data-kind='n2n']")?.click();
told.skips = column(1);
document.querySelector(".tools [data-kind='']").click();
const search = document.getElementById("search");
search.value = "LAYER1";
search.dispatchEvent(new Event("input"));
told.found = column(0);
for (const link of document.querySelectorAll("[data-download]")) {
  link.addEventListener("click", (event) => event.preventDefault());
  link.click();
  told.links.push(link.protocol);
}
told.overflow = document.documentElement.scrollWidth - innerWidth;
const note = document.createElement("pre");
note.id = "told";
note.textContent = JSON.stringify(told);
document.body.append(note);
}
</script>
"""


def network(density, *, seed=0, skips=True, name="layer{}"):
    rng = np.random.default_rng(seed)
    nodes = [np.arange(i * WIDTH, (i + 1) * WIDTH) for i in range(LAYERS + 1)]
    names = ["input", *(name.format(i) for i in range(LAYERS))]
    blocks = []
    for i in range(LAYERS):
        mask = rng.random((WIDTH, WIDTH)) < density
        weights = mask * rng.uniform(0.5, 1.5, mask.shape)
        ends = {"sources": nodes[i], "targets": nodes[i + 1]}
        blocks.append(Block(name=names[i + 1], weights=weights, kept=mask.astype(int), size=mask.size, **ends))
        if i >= 3 and skips:
            ends = {"sources": nodes[i - 2], "targets": nodes[i + 1]}
            one = np.eye(WIDTH)
            blocks.append(Block(name=f"skips.{i}", weights=one, kept=one.astype(int), size=one.size, **ends))
        if i == 6:
            blocks.append(identity_block("add", nodes[5], nodes[7]))
    groups = tuple(
        NodeGroup(name=each, start=int(n[0]), stop=int(n[-1]) + 1) for each, n in zip(names, nodes, strict=True)
    )
    return ChannelGraph(groups=groups, sources=nodes[0], sinks=nodes[-1], blocks=tuple(blocks))


def page(graph, folder, file="page.html", name="net", **options):
    reference = network(1.0, skips=False)
    skips = {block.name: "n2n" for block in graph.blocks if block.name.startswith("skips.")}
    subject = Subject(graph=graph, skips=skips, origin=Origin(name=name), **options)
    found = report(subject, Subject(graph=reference, origin=Origin(name="dense")))
    path = folder / file
    path.write_text(render(found, graph, reference), encoding="utf-8")
    return path, found


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    return page(network(0.12), tmp_path_factory.mktemp("pruned"))


def browse(path, profile, *flags):
    """What the browser wrote on stdout; fails where the page reported anything on its console."""
    arguments = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *flags, path.as_uri()]
    finished = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True, errors="replace")
    assert [line for line in finished.stderr.splitlines() if "CONSOLE" in line] == []
    return finished.stdout


def picture(path, folder, width, height, *flags):
    shot = folder / "shot.png"
    browse(path, folder / "profile", f"--window-size={width},{height}", f"--screenshot={shot}", *flags)
    return np.asarray(Image.open(shot).convert("L")).astype(float)


class Marks(HTMLParser):
    """How many marks of each class every figure holds, and the text of `told`."""

    def __init__(self):
        super().__init__()
        self.figure, self.found, self.told, self.reading = None, {}, "", False
        self.tags = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.reading = attributes.get("id") == "told"
        if "data-figure" in attributes:
            self.figure = self.found.setdefault(attributes["data-figure"], {})
        elif attributes.get("class") == "data":
            self.figure = None
        if self.figure is not None:
            for name in (attributes.get("class") or "").split():
                self.figure[name] = self.figure.get(name, 0) + 1

    def handle_data(self, data):
        if self.reading:
            self.told += data


def probed(path, folder):
    """The page after a reader has used it; without its security policy, which would keep the reader out."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text(encoding="utf-8"))
    open_to_all = folder / "probe.html"
    open_to_all.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    marks = Marks()
    marks.feed(browse(open_to_all, folder / "profile", "--window-size=1100,900", "--dump-dom"))
    return marks


@pytest.mark.parametrize(("density", "skips"), [(0.12, True), (0.0, False)])
def test_every_figure_is_drawn_and_answers_to_the_keyboard(tmp_path, density, skips):
    path, found = page(network(density, skips=skips), tmp_path)
    marks = probed(path, tmp_path)
    told = json.loads(marks.told)
    assert marks.found["density"]["dot"] >= LAYERS
    assert marks.found["residual"]["line"] == 2
    assert marks.found["distance"]["line"] == 1
    assert marks.found["scree"]["line"] == 8
    assert marks.found["warmth"]["raster"] == marks.found["adjacency"]["raster"] == 2
    assert marks.found["skips"]["arc"] == len([row for row in found.layers.rows if row.kind != "layer"])
    assert marks.found["dead"].get("bar", 0) == sum(row.values["dead_out"] > 0 for row in found.layers.of_kind("layer"))
    for name, tips in told["tips"].items():
        assert all(tips), f"{name} shows nothing"
    assert told["tables"]["density"] == LAYERS
    assert told["tables"]["residual"] == 61
    assert told["overflow"] <= 0


def test_without_javascript_every_plot_is_drawn_in_the_page(pruned):
    path, found = pruned
    text = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    marks = Marks()
    marks.feed(text)
    assert marks.found["density"]["dot"] == 2 * LAYERS
    assert marks.found["residual"]["line"] == 2
    assert marks.found["scree"]["line"] == 8
    assert marks.found["skips"]["s-skip"] == len(found.layers.skips)
    assert marks.found["dead"].get("bar", 0) == sum(row.values["dead_out"] > 0 for row in found.layers.of_kind("layer"))
    for name in ("warmth", "adjacency"):
        assert marks.found[name]["still"] == 2


def test_the_layer_table_sorts_filters_and_is_complete(pruned, tmp_path):
    path, found = pruned
    told = json.loads(probed(path, tmp_path).told)
    kept = [int(text.replace(",", "")) for text in told["kept"]]
    assert len(kept) == len(found.layers.rows)
    assert kept == sorted(kept, reverse=True)
    assert told["keptAgain"][0] == "0"
    assert told["skips"] == ["n2n"] * len(found.layers.skips)
    assert {text.split("skips")[0][:7] for text in told["found"]} <= {"layer1", "layer10", "layer11", ""}
    assert len(told["found"]) == sum(
        "layer1" in f"{row.name}{row.sources}{row.targets}" and (row.kind != "layer" or "layer1" in row.name)
        for row in found.layers.rows
    )
    assert set(told["links"]) == {"blob:"}
    assert len(told["links"]) == 11  # nine figures, the layers, and the whole report


def test_the_page_is_readable_in_light_and_dark_and_on_a_phone(pruned, tmp_path):
    path, _ = pruned
    light = picture(path, tmp_path, 1200, 2500)
    dark = picture(path, tmp_path, 1200, 2500, DARK)
    phone = picture(path, tmp_path, 375, 2500)
    assert light.mean() > 200
    assert dark.mean() < 60
    assert phone.mean() > 200
    assert phone.shape[1] == 375
    for shot in (light, dark, phone):
        # text and marks everywhere: hardly a stretch of the page is blank
        assert (np.ptp(shot.reshape(-1, 100, shot.shape[1]), axis=(1, 2)) > 60).mean() > 0.9


def test_the_page_can_be_printed(pruned, tmp_path):
    path, _ = pruned
    paper = tmp_path / "page.pdf"
    browse(path, tmp_path / "profile", DARK, "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 30_000
    on_paper = path.read_text(encoding="utf-8").partition("@media print")[2]
    # With buttons in them, heads stand on the first sheet alone.
    assert ".layers thead button { display: contents; }" in on_paper
    if (converter := shutil.which("pdftoppm")) is None:
        return
    subprocess.run([converter, "-r", "40", "-png", paper, tmp_path / "sheet"], check=True)
    sheets = [np.asarray(Image.open(sheet).convert("L")) for sheet in sorted(tmp_path.glob("sheet*.png"))]
    assert 3 <= len(sheets) <= 12
    assert all(sheet.mean() > 200 and np.ptp(sheet) > 100 for sheet in sheets)  # dark ink on light paper


def test_markup_in_names_is_shown_as_it_is(tmp_path):
    graph = network(0.12)
    groups = (graph.groups[0], replace(graph.groups[1], name=NASTY), *graph.groups[2:])
    blocks = (replace(graph.blocks[0], name=NASTY), *graph.blocks[1:])
    graph = ChannelGraph(groups=groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)
    path, _ = page(graph, tmp_path, name=NASTY, notes=(NASTY,))
    marks = Marks()
    marks.feed(browse(path, tmp_path / "profile", "--dump-dom"))
    assert marks.tags.count("script") == 2
    assert marks.found["density"]["dot"] >= LAYERS
