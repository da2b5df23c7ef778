import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from n2nsurgery.connectivity import METRICS, Block, ChannelGraph, Origin, Subject, identity_block
from n2nsurgery.connectivity.paths.reach import chain
from n2nsurgery.connectivity.report.findings import percent, times
from n2nsurgery.connectivity.report.findings_of_heat import saturation
from n2nsurgery.connectivity.report.report import report
from n2nsurgery.core.errors import UsageError

SIZES = (3, 20, 30, 20, 5)


def pruned(density, seed=0):
    rng = np.random.default_rng(seed)
    return chain([rng.random((SIZES[i + 1], SIZES[i])) < density for i in range(len(SIZES) - 1)])


DENSE = Subject(graph=pruned(1.0))


def about(graph, *, skips=None, **options):
    subject = Subject(graph=graph, skips=skips or {}, origin=Origin(name="net", origin="here"), **options)
    return report(subject, DENSE)


def finding(found, topic):
    return next(each for each in found.findings if each.topic == topic)


def with_layer(graph, index, mask):
    blocks = list(graph.blocks)
    blocks[index] = replace(blocks[index], weights=mask.astype(float), kept=mask.astype(int))
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=tuple(blocks))


def with_skip(graph, *, weights):
    """A skip from group 1 to group 3, read by the last layer."""
    ends = [np.arange(graph.groups[g].start, graph.groups[g].stop) for g in (1, 3)]
    if weights:
        matrix = np.eye(20)
        skip = Block(
            name="skips.a", sources=ends[0], targets=ends[1], weights=matrix, kept=matrix.astype(int), size=400
        )
    else:
        skip = identity_block("add", *ends)
    blocks = (*graph.blocks[:3], skip, graph.blocks[3])
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


GRAPHS = {
    "dense": DENSE.graph,
    "pruned": pruned(0.3),
    "falling apart": pruned(0.03, seed=2),
    "nothing left": pruned(0.0),
    "with a skip": with_skip(pruned(0.2), weights=True),
    "with identity edges": with_skip(pruned(0.2), weights=False),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_report_is_strict_json_with_a_unit_for_every_number(name):
    found = about(GRAPHS[name]).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) is not None
    assert set(found["quantities"]) == set(METRICS.names())
    for each in (q for metric in found["quantities"].values() for q in metric.values()):
        assert set(each) == {"value", "reference", "unit", "meaning", "without_skips"}
    keys = {*found["layers"]["columns"], "name", "kind", "sources", "targets"}
    assert all(set(row) == keys for row in found["layers"]["rows"])
    assert all({"unit", "meaning"} <= set(head) for head in found["layers"]["columns"].values())
    assert all(e["unit"] is not None for f in found["findings"] for e in f["evidence"].values())


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_network_is_reported_alike(name):
    first, second = (json.dumps(about(GRAPHS[name]).to_json()) for _ in range(2))
    assert first == second


def test_a_dense_network_is_well_connected():
    found = about(DENSE.graph)
    assert found.verdict == "well connected"
    assert "no channel is dead" in found.headline
    assert {each.severity for each in found.findings} <= {"good", "notice"}
    assert finding(found, "Heat").sentence == "Heat settles in 1 times the reference's time."


def test_a_severed_network_says_where():
    found = about(with_layer(DENSE.graph, 2, np.zeros((20, 30), dtype=bool)))
    assert found.verdict == "cut"
    assert found.headline.startswith(f"{found.subject.name} is cut: no path leads from its input to its output")
    assert found.findings[0].topic == "Paths"
    assert "'2' is the first layer that nothing reaches, with 0 of its 600 weights" in found.findings[0].sentence
    assert finding(found, "Dead channels").sentence.startswith("All 78 channels are dead")
    assert "no path leads from its input to its output" in found.headline


def test_a_notebook_shows_the_verdict_and_what_is_not_good():
    subject = Subject(graph=with_layer(DENSE.graph, 2, np.zeros((20, 30), dtype=bool)), origin=Origin(name="<net>"))
    found = report(subject, DENSE)
    table = found._repr_html_()
    assert table.startswith("<table><tr><th>network</th><td>&lt;net&gt;</td></tr>")
    assert "<tr><th>verdict</th><td>cut</td></tr><tr><th>severe: Paths</th><td>" in table
    shown = [each for each in found.findings if each.severity != "good"]
    assert table.count("<tr>") == 3 + len(shown) + (len(shown) < len(found.findings))


def test_outputs_that_nothing_reaches_are_counted():
    mask = np.ones((5, 20), dtype=bool)
    mask[:2] = False
    found = about(with_layer(DENSE.graph, 3, mask))
    assert finding(found, "Paths").sentence.startswith("2 of 5 outputs cannot be reached")
    assert finding(found, "Components").severity != "good"
    assert "2 of its 5 outputs cannot be reached" in found.headline
    assert found.verdict == "partly cut"


def test_dead_channels_are_counted_where_they_are():
    mask = np.ones((30, 20), dtype=bool)
    mask[10:] = False
    found = about(with_layer(DENSE.graph, 1, mask))
    dead = finding(found, "Dead channels")
    assert dead.severity == "warning"
    assert found.verdict == "weakly connected"  # and not badly: every output is reached
    assert "20 of 78 channels" in dead.sentence
    assert "'1' is hit hardest, with 20 of its 30" in dead.sentence
    assert "--keep-alive" in dead.remedy
    row = next(row for row in found.layers.rows if row.name == "1")
    assert (row.values["dead_in"], row.values["dead_out"]) == (0, 20)
    assert finding(found, "Wasted weights").evidence["effective-density.wasted"].value == 20 * 20


def test_a_planted_bottleneck_of_heat_is_named():
    graph = DENSE.graph
    blocks = list(graph.blocks)
    blocks[1] = replace(blocks[1], weights=blocks[1].weights * 1e-3)
    weak = ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=tuple(blocks))
    found = about(weak)
    assert finding(found, "Bottleneck of heat").sentence.startswith("'1' limits the heat")
    assert "'1'" in found.headline
    assert finding(found, "Heat").severity in {"warning", "severe"}
    assert "the reason is that its weights differ in size: with all of one size" in finding(found, "Heat").sentence


def test_a_planted_bottleneck_of_paths_is_named():
    mask = np.zeros((30, 20), dtype=bool)
    mask[np.arange(15), np.arange(15)] = True  # half a weight for each output
    thin = finding(about(with_layer(DENSE.graph, 1, mask)), "Thinnest layer")
    assert thin.severity == "warning"
    assert thin.sentence.startswith("'1' is the bottleneck of paths: it has only 0.5 weights")
    assert thin.remedy.startswith("As for '")
    first = finding(about(with_layer(DENSE.graph, 1, mask)), thin.remedy.split("'")[1])
    assert "--keep-alive" in first.remedy  # what helps several findings is said once, with the worst
    assert "--skip n2n" in first.remedy


def test_layers_without_any_weight_are_named_before_all_that_they_cost():
    found = about(
        with_layer(
            with_layer(with_skip(DENSE.graph, weights=True), 1, np.zeros((30, 20), bool)), 2, np.zeros((20, 30), bool)
        ),
        skips={"skips.a": "n2n"},
    )
    empty = finding(found, "Empty layers")
    assert empty.severity == "warning"
    assert empty.sentence.startswith("2 of 4 layers keep no weight: '1', '2'. Nothing passes them but what shortcuts")
    assert "2 of its 4 layers keep no weight" in found.headline
    assert not [each for each in about(GRAPHS["pruned"]).findings if each.topic == "Empty layers"]


def test_of_layers_that_lose_the_same_share_the_one_of_lowest_density_is_named():
    half, few = np.zeros((30, 20), dtype=bool), np.zeros((20, 30), dtype=bool)
    half[:15] = True
    few[np.arange(15) % 10, np.arange(15)] = True
    dead = finding(about(with_layer(with_layer(DENSE.graph, 1, half), 2, few)), "Dead channels")
    assert "'2' is hit hardest, with 10 of its 20" in dead.sentence  # and not '1', with 15 of its 30


def test_a_large_layer_of_low_density_is_not_thin():
    rng = np.random.default_rng(0)
    wide = chain([np.ones((400, 3), dtype=bool), rng.random((400, 400)) < 0.02, np.ones((4, 400), dtype=bool)])
    found = report(Subject(graph=wide), Subject(graph=wide))
    assert finding(found, "Thinnest layer").severity != "warning"


def test_what_a_skip_could_hold_is_not_a_part_of_the_density():
    found = about(GRAPHS["with a skip"], skips={"skips.a": "n2n"})
    graph = GRAPHS["with a skip"]
    kept, own = sum(b.kept_weights for b in graph.layers), sum(b.size for b in DENSE.graph.layers)
    assert found.quantity("effective-density.direct").value == kept / own


def test_a_layer_around_which_the_paths_lead_is_not_a_bottleneck():
    thin = np.zeros((20, 30), dtype=bool)
    thin[0, 0] = True
    graph = with_layer(pruned(1.0), 1, np.eye(30, 20, dtype=bool))
    bypassed = with_skip(with_layer(graph, 2, thin), weights=True)
    found = about(bypassed, skips={"skips.a": "n2n"})
    assert "'2'" not in finding(found, "Thinnest layer").sentence


def test_kinds_tell_layers_skips_and_identity_edges_apart():
    kinds = {row.name: row.kind for row in about(GRAPHS["with a skip"], skips={"skips.a": "n2n"}).layers.rows}
    assert kinds == {"0": "layer", "1": "layer", "2": "layer", "skips.a": "n2n", "3": "layer"}
    named = about(GRAPHS["with identity edges"]).layers.rows
    assert [row.kind for row in named if row.name == "add"] == ["identity"]
    assert [row.sources for row in named if row.name == "add"] == [("0",)]


def test_a_layer_that_mixes_badly_is_named_and_a_skip_of_one_weight_for_each_channel_is_none():
    two_halves = np.kron(np.eye(2, dtype=bool), np.ones((10, 15), bool))  # of group 2 to group 3
    found = finding(about(with_layer(GRAPHS["with a skip"], 2, two_halves), skips={"skips.a": "n2n"}), "Mixing")
    assert found.severity == "notice"
    assert found.sentence.startswith("1 of 3 layers mix worse")
    alone = about(GRAPHS["with a skip"], skips={"skips.a": "n2n"})
    gaps = {row.name: row.values["gap"] for row in alone.layers.rows}
    assert [name for name, gap in gaps.items() if gap is None] == ["0", "skips.a"]  # '0' has 12 weights for 20 channels
    assert alone.quantity("ramanujan-gap.not_ramanujan").value == 0
    assert finding(alone, "Mixing").sentence.startswith("All 3 layers mix")


def test_skips_are_weighed():
    found = finding(about(GRAPHS["with a skip"], skips={"skips.a": "n2n"}), "Skips")
    assert found.evidence["held"].value == 20
    share = found.evidence["heat_share"].value
    assert 0 < share < 1
    assert found.sentence.endswith(f"If they conducted 1 % more, heat would settle {share:.2g} % sooner.")


def test_skips_that_save_channels_are_said_to_help_beside_a_twin_of_as_many_weights():
    masks = [np.eye(20, 3, dtype=bool), np.zeros((30, 20), bool), np.zeros((20, 30), bool), np.ones((5, 20), bool)]
    masks[0][:, 0] = True
    graph = with_skip(chain(masks), weights=True)  # nothing else leads from the first layer to the last
    found = report(Subject(graph=graph, dense=DENSE.graph, skips={"skips.a": "n2n"}))
    told, dead = finding(found, "Skips"), found.quantity("dead-channels.dead")
    assert dead.value == 30
    assert dead.twin == 78
    assert told.severity == "good"
    assert "Skips help: in a network without skips, with as many weights in all, " in told.sentence
    assert "78 channels are dead instead of 30" in told.sentence
    assert found.to_json()["quantities"]["dead-channels"]["dead"]["without_skips"] == dead.twin


def test_what_skips_do_not_change_is_said_as_such():
    masks = [np.ones(shape, bool) for shape in ((20, 3), (30, 20), (20, 30), (5, 20))]
    graph = with_skip(chain(masks), weights=True)
    found = report(Subject(graph=graph, dense=chain([np.ones(m.shape, bool) for m in masks]), skips={"skips.a": "n2n"}))
    assert ", no channel is dead either, and heat takes " in finding(found, "Skips").sentence


def test_without_skips_there_is_not_a_twin():
    found = report(Subject(graph=GRAPHS["pruned"], dense=DENSE.graph))
    assert {quantity.twin for quantity in found.quantities} == {None}


def test_identity_edges_have_their_share_of_the_settling_time():
    table = about(GRAPHS["with identity edges"]).layers
    shares = [row.values["heat_share"] for row in table.rows]
    assert sum(shares) == pytest.approx(1, abs=1e-9)


def test_additions_of_shortcuts_are_no_bottleneck_but_have_a_sentence():
    found = about(GRAPHS["with identity edges"])
    bottleneck = finding(found, "Bottleneck of heat")
    [share] = [row.values["heat_share"] for row in found.layers.rows if row.kind == "identity"]
    assert "'add'" not in bottleneck.sentence
    assert bottleneck.sentence.endswith(f"Additions of shortcuts hold {percent(share)}, which no weight changes.")


def test_a_delay_that_is_worth_a_notice_is_not_called_good():
    graph = DENSE.graph
    blocks = [replace(block, weights=block.weights / 3) for block in graph.blocks]
    slower = ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=tuple(blocks))
    found = about(slower)
    assert found.verdict == "moderately connected"
    assert "heat takes 3 times as long as in the reference" in found.headline


def scaled(graph, *factors):
    """`graph` with the weights of each block scaled."""
    blocks = tuple(
        replace(block, weights=block.weights * factor) for block, factor in zip(graph.blocks, factors, strict=True)
    )
    return ChannelGraph(groups=graph.groups, sources=graph.sources, sinks=graph.sinks, blocks=blocks)


def placement(found):
    return [found.quantity(f"placement.t_sat_ratio{rule}").value for rule in ("", "_equal", "_binary")]


def test_the_sizes_of_weights_are_told_apart_from_their_places():
    found = about(scaled(with_skip(DENSE.graph, weights=True), 0.02, 0.02, 0.02, 20, 0.02), skips={"skips.a": "n2n"})
    as_is, equal, binary = placement(found)
    assert as_is == found.quantity("saturation.t_sat_ratio").value
    # Of one size, heat is nearly as fast as the volume of all weights allows, and with edges alone as in the reference.
    assert as_is > 10 * equal
    assert binary < 1
    reason = "the reason is that its weights differ in size (those of a new skip are 1): with all of one size"
    assert f"{reason} heat would take 3.2 times as long" in finding(found, "Heat").sentence


@pytest.mark.parametrize(("equal", "told"), [(5.6, True), (1.9, False)])
def test_heat_that_is_fast_by_the_weights_of_new_skips_is_said_to_be(equal, told):
    values = {"saturation.t_sat_ratio": 1.5, "saturation.volume": 1.0, "placement.t_sat_ratio_equal": equal}
    evidence = SimpleNamespace(
        value=values.get,
        reference=lambda _key: 1.0,
        shown=lambda *_keys: {},
        layers=SimpleNamespace(skips=("a",)),
        subject=SimpleNamespace(limits=SimpleNamespace(stragglers=9.0), graph=SimpleNamespace(nodes=9)),
    )
    sentence = saturation(evidence).sentence
    assert sentence.startswith("Heat settles in 1.5 times the reference's time.")
    assert ("those of a new skip are 1: with all of one size it would take 5.6 times as long." in sentence) is told


def test_a_common_factor_is_not_a_matter_of_places():
    ratio = placement(about(GRAPHS["pruned"]))
    assert ratio == pytest.approx([ratio[0]] * 3, rel=1e-9)  # all weights are 1: the three graphs are one
    half = placement(about(scaled(GRAPHS["pruned"], *[0.5] * 4)))
    assert half == pytest.approx([2 * ratio[0], 2 * ratio[0], ratio[0]], rel=1e-9)


def test_weights_of_one_size_that_are_few_somewhere_are_badly_placed():
    thin = np.zeros((30, 20), dtype=bool)
    thin[np.arange(30), np.arange(30) % 20] = True
    sentence = finding(about(with_layer(DENSE.graph, 1, thin)), "Heat").sentence
    assert "the reason is where its weights are, not their sizes: with all of one size heat would take" in sentence


def test_quantities_stand_beside_the_references():
    found = about(GRAPHS["pruned"])
    assert found.quantity("dead-channels.dead").reference == 0
    assert found.quantity("saturation.t_sat").reference == pytest.approx(DENSE.heat.saturation_time(1e-3))
    assert not any(q.name.endswith("_reference") for q in found.quantities)


def test_another_network_is_not_a_reference():
    with pytest.raises(UsageError, match="give the dense form of the same network"):
        about(chain([np.ones((4, 3), dtype=bool)]))


def test_curves_and_warmth_begin_cold_and_end_settled():
    found = about(GRAPHS["pruned"])
    assert set(found.curves) == {"residual", "F", "alpha"}
    assert found.curves["residual"].lines["this network"][-1] < 1e-12
    assert found.warmth.values[-1][0] < -0.99
    assert found.warmth.values[0][0] > 0
    assert abs(found.warmth.values[2][-1]) <= 1e-4  # as far as it is rounded


def test_conventions_and_notes_go_with_the_numbers():
    found = about(GRAPHS["pruned"], conventions=("Sum of |w|.",), notes=("A gate.",)).to_json()
    assert (found["conventions"], found["notes"]) == (["Sum of |w|."], ["A gate."])


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.0201, "2 %"), (0.0044, "0.44 %"), (3e-6, "0.0003 %")],
)
def test_percentages_have_the_digits_they_need(share, text):
    assert percent(share) == text


def test_factors_have_the_digits_they_need():
    assert [times(each) for each in (1.26, 3.81, 52.3, 20_036)] == ["1.3", "3.8", "52", "20,036"]


def test_a_head_that_starts_at_zero_is_part_of_the_network():
    silent = replace(DENSE.graph.blocks[-1], weights=np.zeros_like(DENSE.graph.blocks[-1].weights))
    graph = replace(DENSE.graph, blocks=(*DENSE.graph.blocks[:-1], silent))
    found = finding(report(Subject(graph=graph), DENSE), "Components")
    assert found.severity == "good"
    assert found.sentence == (
        "The network is in one piece: connections lead from every channel to every other. 100 connections have the"
        " value 0, so no heat flows there."
    )
