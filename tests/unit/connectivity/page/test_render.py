import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from n2nsurgery.connectivity import ChannelGraph, Origin, Subject
from n2nsurgery.connectivity.page.numbers import shown, tied, unbroken
from n2nsurgery.connectivity.page.render import render
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.connectivity.report.report import report

NASTY = """</script><script>alert("1")</script><img src=x onerror='alert(2)'>&amp;{{ 7*7 }}\u2028"""


def network(density, *, seed=0, rename=None):
    rng = np.random.default_rng(seed)
    sizes = (3, 12, 8, 4)
    graph = chain([rng.random((sizes[i + 1], sizes[i])) < density for i in range(3)])
    if rename is None:
        return graph
    groups = (graph.groups[0], replace(graph.groups[1], name=rename), *graph.groups[2:])
    blocks = (replace(graph.blocks[0], name=rename), *graph.blocks[1:])
    return ChannelGraph(groups=groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


def page(graph, name="net", *, skips=None, **options):
    reference = network(1.0)
    subject = Subject(graph=graph, skips=skips or {}, origin=Origin(name=name, origin=name), **options)
    found = report(subject, Subject(graph=reference, origin=Origin(name=name)))
    return found, render(found, graph, reference)


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def elements(text):
    parser = Elements()
    parser.feed(text)
    return parser


def payload(text):
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL)[1])


def test_names_with_markup_stay_names():
    plain = elements(page(network(0.4, rename="a"), "net")[1])
    found, text = page(network(0.4, rename=NASTY), NASTY, skips={"1": NASTY}, conventions=(NASTY,), notes=(NASTY,))
    nasty = elements(text)
    assert nasty.tags.count("script") == plain.tags.count("script") == 2
    assert nasty.tags.count("img") == plain.tags.count("img") == 4  # two adjacency matrices, two pictures of heat
    assert not [name for name, _ in nasty.attributes if name.startswith("on")]
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", text, re.DOTALL)[0]
    assert payload(text)["report"]["subject"]["name"] == NASTY
    assert found.layers.rows[0].name == NASTY
    assert "\u2028" not in re.search(r'id="payload">(.*?)</script>', text, re.DOTALL)[1]


def test_a_planted_raw_name_would_be_noticed():
    _, text = page(network(0.4))
    assert elements(text.replace("<h1>", f"<h1>{NASTY}")).tags.count("img") == 5


def test_the_page_loads_nothing_and_runs_only_its_own_script():
    _, text = page(network(0.4))
    content = dict(elements(text).attributes)
    assert "integrity" not in content
    sources = [value for name, value in elements(text).attributes if name == "src"]
    assert all(value.startswith("data:image/png;base64,") for value in sources)  # pictures inside of the page
    links = [value for name, value in elements(text).attributes if name == "href"]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "url(" not in text.partition("<style>")[2].partition("</style>")[0]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_the_page_holds_the_whole_report_and_every_row():
    found, text = page(network(0.4))
    short = json.loads(json.dumps(found.to_json()), parse_float=lambda digits: float(f"{float(digits):.6g}"))
    assert payload(text)["report"] == short
    body = re.search(r'<table id="layer-table".*?</table>', text, re.DOTALL)[0]
    assert body.count("<tr") - 1 == len(found.layers.rows)
    for finding in found.findings:
        assert finding.topic in text


def test_shares_are_in_percent_wherever_they_stand():
    found, text = page(network(0.4))
    direct = found.quantity("effective-density.direct")
    percent = f"{shown(100 * direct.value)}\N{NO-BREAK SPACE}%"
    assert (direct.unit, shown(direct.value, direct.unit)) == ("share", percent)
    row = found.layers.rows[0].values["direct"]
    for each in (percent, f"{shown(100 * row)}\N{NO-BREAK SPACE}%"):
        assert f">{each}</td>" in text
    [dots] = [figure for figure in payload(text)["figures"] if figure["id"] == "density"]
    assert dots["rows"][0][1] == pytest.approx(100 * row, rel=1e-5)


def test_options_in_commands_are_not_broken_and_names_stay_names():
    marked = unbroken("apply '<b>' --keep-alive")
    assert marked == 'apply &#39;&lt;b&gt;&#39; <span class="option">--keep-alive</span>'


@pytest.mark.parametrize("density", [1.0, 0.1, 0.0])
def test_every_network_has_a_page_with_every_figure(density):
    _, text = page(network(density))
    figures = payload(text)["figures"]
    names = {"density", "dead", "residual", "limits", "warmth", "distance", "scree", "adjacency", "skips"}
    assert {figure["id"] for figure in figures} == names
    for figure in figures:
        assert figure["title"]
        assert all(len(row) == len(figure["columns"]) for row in figure["rows"])
        assert f'data-figure="{figure["id"]}"' in text
    assert "NaN" not in text
    assert "Infinity" not in payload(text)["report"]["headline"]


def test_a_page_is_the_same_every_time():
    assert page(network(0.4))[1] == page(network(0.4))[1]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "nodes", "\N{EN DASH}"),
        (1, "components", "1 component"),
        (5208, "nodes", "5,208 nodes"),
        (0.0100421, "", "0.01004"),
        (2.158e-05, "", "2.16·10⁻⁵"),
        (56.18, "log10", "10⁵⁶"),
        (27_861.4, "1/conductance", "27,861 1/conductance"),
        (3.0, "", "3"),
    ],
)
def test_numbers_are_short_and_have_their_unit(value, unit, text):
    assert shown(value, unit) == text


def test_percent_signs_are_tied_and_powers_are_set():
    assert tied("2 % of 10^-85") == "2\N{NO-BREAK SPACE}% of 10⁻⁸⁵"
