"""SkipSpec and its JSON."""

import json
from dataclasses import replace

import pytest

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.core.fingerprint import canonical_json
from n2nsurgery.graph.layers.layer_graph import LayerPair, Nonlinearity, Signal
from n2nsurgery.skips.spec import Alignment, SkipSpec

SPEC = SkipSpec(
    name="n2n_skips.0",
    kind="n2n",
    pair=LayerPair(
        source="conv1",
        target="conv4",
        source_signal=Signal(address="relu#0", shape=(3, 8, 8), layout="channels_first"),
        target_signal=Signal(address="bn#3", shape=(5, 4, 4), layout="channels_first"),
        length=3,
        nonlinearity=Nonlinearity(name="Hardtanh", arguments=(("min_val", 0), ("max_val", 6.0), ("inplace", True))),
    ),
    align=Alignment(factor=(2, 2)),
    pattern="one-to-one",
    kernel=(3, 3),
    weight_shape=(5, 3, 3, 3),
    kept=7,
    start=0.5,
)


def test_a_spec_comes_back_from_json_text_equal_and_with_the_same_text():
    text = canonical_json(SPEC.to_json())
    back = SkipSpec.from_json(json.loads(text))
    assert back == SPEC
    assert canonical_json(back.to_json()) == text


def test_capacity_and_macs_count_weights_and_positions():
    assert SPEC.numel == 5 * 3 * 3 * 3
    assert SPEC.macs == 7 * 4 * 4


def test_rows_of_a_sample_are_stored_where_there_are_several_and_counted():
    assert "rows" not in SPEC.to_json()["pair"]["target_signal"]
    pair = replace(SPEC.pair, target_signal=replace(SPEC.pair.target_signal, rows=6))
    spec = replace(SPEC, pair=pair)
    assert spec.to_json()["pair"]["target_signal"]["rows"] == 6
    assert SkipSpec.from_json(json.loads(canonical_json(spec.to_json()))) == spec
    assert spec.macs == 6 * SPEC.macs


def test_a_kind_without_weights_has_no_capacity():
    assert SkipSpec(name="n2n_skips.0", kind="residual", pair=SPEC.pair, align=Alignment()).numel == 0


def _broken(path: str, value: object) -> dict[str, object]:
    document = json.loads(json.dumps(SPEC.to_json()))
    *parents, key = path.split(".")
    node = document
    for parent in parents:
        node = node[parent]
    node[key] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("colour", 1, r"plan\.json.*unknown keys \['colour'\]"),
        ("pair.colour", 1, r"plan\.json\.pair.*unknown keys \['colour'\]"),
        ("kept", "7", r"plan\.json\.kept is '7'; int is needed"),
        ("kept", True, "int is needed"),
        ("pattern", "dense", r"one of \['one-to-one', 'random'\]"),
        ("weight_shape", 5, "a list is needed"),
        ("weight_shape", [5, 3.5], r"weight_shape\[1\] is 3.5; int is needed"),
        ("start", float("nan"), "float is needed"),
        ("norm", 0, "bool is needed"),
        ("pair.nonlinearity", "ReLU", "an object with the fields of Nonlinearity"),
        ("pair.nonlinearity.arguments", [["min_val"]], "a list of 2 is needed"),
        ("pair.nonlinearity.arguments", [["min_val", None]], "float or bool or str is needed"),
        ("pair.target_signal.layout", "nchw", "one of"),
    ],
)
def test_a_damaged_document_is_refused_naming_the_place(path, value, message):
    with pytest.raises(InvalidFileError, match=message):
        SkipSpec.from_json(_broken(path, value), "plan.json")


def test_a_missing_key_is_refused_naming_the_key():
    document = SPEC.to_json()
    del document["align"]["factor"]
    with pytest.raises(InvalidFileError, match=r"skip\.align: .*missing keys \['factor'\]"):
        SkipSpec.from_json(document)
