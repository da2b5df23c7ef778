from __future__ import annotations

import json

import pytest
import torch

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.surgery.planning.plan import SCHEMA, SurgeryPlan


@pytest.fixture
def plan(pruned) -> SurgeryPlan:
    return pruned.plan


def document(plan: SurgeryPlan, **changes) -> dict:
    return json.loads(json.dumps(plan.to_json())) | changes


def test_a_plan_comes_back_from_json_unchanged(plan):
    again = SurgeryPlan.from_json(document(plan))
    assert again == plan
    assert again.fingerprint == plan.fingerprint


def test_a_plan_holds_no_tensor(plan):
    def leaves(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            return [leaf for item in value for leaf in leaves(item)]
        return [value]

    found = leaves(plan.to_json())
    assert not any(isinstance(leaf, torch.Tensor) for leaf in found)
    assert {type(leaf) for leaf in found} <= {str, int, float, bool, type(None)}


def test_any_change_changes_the_fingerprint(plan):
    changed = SurgeryPlan.from_json(document(plan, structure="another"))
    assert changed.fingerprint != plan.fingerprint


def test_a_newer_schema_is_refused_with_what_to_do(plan):
    message = rf"my plan has schema {SCHEMA + 1}; this version reads up to {SCHEMA}: upgrade it"
    with pytest.raises(InvalidFileError, match=message):
        SurgeryPlan.from_json(document(plan, schema=SCHEMA + 1, something="new"), "my plan")


@pytest.mark.parametrize("value", [None, [], "plan", {}, {"schema": "1"}, {"schema": 0}, {"schema": None}])
def test_what_names_no_schema_is_not_a_plan(value):
    with pytest.raises(InvalidFileError, match=r"plan\.json is not a surgery plan: it names no schema"):
        SurgeryPlan.from_json(value)


def test_an_unknown_key_is_named(plan):
    with pytest.raises(InvalidFileError, match=r"plan\.json: unknown keys \['surprise'\]"):
        SurgeryPlan.from_json(document(plan, surprise=1))


def test_an_unknown_key_deep_inside_is_named_with_its_place(plan):
    value = document(plan)
    value["skips"][1]["pair"]["surprise"] = 1
    with pytest.raises(InvalidFileError, match=r"plan\.json\.skips\[1\]\.pair: unknown keys \['surprise'\]"):
        SurgeryPlan.from_json(value)


def test_a_missing_key_is_named(plan):
    value = document(plan)
    del value["budget"]["total"]
    with pytest.raises(InvalidFileError, match=r"plan\.json\.budget: .*missing keys \['total'\]"):
        SurgeryPlan.from_json(value)


@pytest.mark.parametrize(("key", "wrong"), [("structure", 1), ("weights", {}), ("budget", None), ("schema", True)])
def test_a_value_of_the_wrong_type_is_refused(plan, key, wrong):
    with pytest.raises(InvalidFileError):
        SurgeryPlan.from_json(document(plan, **{key: wrong}))
