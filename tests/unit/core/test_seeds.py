from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.core.fingerprint import canonical_json, fingerprint
from n2nsurgery.core.seeds import derive, numpy_generator, torch_generator

# The separator of a stream's parts occurs in no name of ours.
names = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(st.integers(0), names, names), unique=True))
def test_no_two_seeds_purposes_or_names_share_a_stream(streams):
    seeds = [derive(*stream) for stream in streams]
    assert len(set(seeds)) == len(streams)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_is_the_same_on_every_machine():
    assert derive(0, "mask", "layer1.0.conv1") == 405392011258028437  # from sha256sum on the command line


def legacy_numpy_state() -> bytes:
    return np.random.get_state()[1].tobytes()  # noqa: NPY002 - the generator that must not be touched


def test_generators_draw_alike_and_touch_no_global_one():
    before = (torch.random.get_rng_state(), legacy_numpy_state())
    for make, draw in (
        (torch_generator, lambda g: torch.rand(4, generator=g).tolist()),
        (numpy_generator, lambda g: g.random(4).tolist()),
    ):
        assert draw(make(1, "mask", "a")) == draw(make(1, "mask", "a"))
        assert draw(make(1, "mask", "a")) != draw(make(1, "mask", "b"))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert legacy_numpy_state() == before[1]


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint({"b": [1.5, None], "a": 1})
    assert canonical_json({"b": 1, "a": "ä"}) == '{"a":"\\u00e4","b":1}'
