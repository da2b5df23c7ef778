"""Laws of the weight codecs: every code of every weight decodes to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.export.codec import bits, gaps
from n2nsurgery.export.codec.choose import OVERHEAD, choose
from n2nsurgery.export.codec.coded import encode
from n2nsurgery.export.codec.packed import pack, unpack
from n2nsurgery.export.codec.values import BYTES, VALUES, store


@st.composite
def weights(draw):
    """Float32 matrices of any density, empty and full rows included; some so long that gaps need fillers."""
    rows = draw(st.integers(1, 8))
    columns = draw(st.sampled_from([1, 3, 8, 70, 3000]))
    density = draw(st.sampled_from([0, 0.0005, 0.01, 0.2, 0.9, 1]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = generator.standard_normal((rows, columns)) * (generator.random((rows, columns)) < density)
    return weight.astype(np.float32)


@given(weight=weights(), code=st.sampled_from(["gaps8", "gaps16", "bits"]), values=st.sampled_from(VALUES))
def test_a_code_decodes_to_the_rounded_weight(weight, code, values):
    stored = store(weight, values)
    coded = encode(stored, code)
    assert np.array_equal(coded.decoded(), stored.restored())
    assert coded.nnz == np.count_nonzero(stored.array)


@given(
    numel=st.integers(150, 3000),
    seed=st.integers(0, 2**32),
    exponents=st.sampled_from([(0, 254), (100, 140), (120, 127), (127, 127)]),
    zeros=st.sampled_from([0, 0.1, 1]),
)
def test_packed_floats_unpack_to_the_same_bits(numel, seed, exponents, zeros):
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 2**32, numel, np.uint32) & np.uint32(0x807FFFFF)
    exponent = generator.integers(max(1, exponents[0]), exponents[1], numel, np.uint32, endpoint=True)
    words = np.where(generator.random(numel) < zeros, 0, words | exponent << 23).astype(np.uint32)
    packed = pack(words.view(np.float32))
    if packed is None:
        assert numel < 2000 or exponents[1] - exponents[0] > 7  # there is nothing to gain
    else:
        assert np.array_equal(unpack(packed).view(np.uint32), words)


@given(weight=weights(), values=st.sampled_from(VALUES))
def test_zeros_stay_zeros_and_nothing_else_becomes_one_and_rounding_is_bounded(weight, values):
    restored = store(weight, values).restored()
    assert np.array_equal(restored == 0, weight == 0)
    assert (np.sign(restored) == np.sign(weight)).all()
    # Half a unit in the last place: 2^-11 of a half (6e-8 for subnormals), half a level of 1/127 of the row's peak, or
    # less than a level for what would be zero; one per mille on top for the float32 arithmetic that measures it.
    peak = np.abs(weight).max(axis=1, keepdims=True, initial=0)
    level = np.where(np.abs(weight) < peak / 254, peak / 127, peak / 254)
    bound = {"fp32": 0 * peak, "fp16": np.maximum(np.abs(weight) * 2.0**-11, 6e-8), "int8": level}[values]
    assert (np.abs(restored - weight) <= bound * 1.001).all()


@given(weight=weights(), values=st.sampled_from(VALUES))
def test_the_choice_is_the_smallest_and_its_size_is_true(weight, values):
    stored = store(weight, values)
    positions = np.flatnonzero(stored.array).astype(np.int64)
    choice = choose(positions, weight.size, BYTES[values])
    assert choice.sizes[choice.code] == min(choice.sizes.values())
    for code in ("gaps8", "gaps16", "bits"):
        coded = encode(stored, code)
        assert choice.sizes[code] == OVERHEAD + coded.places.nbytes + coded.values.nbytes


@given(
    steps=st.lists(st.integers(0, 255), max_size=30),
    numel=st.integers(0, 500),
    surplus=st.integers(-1, 1),
)
def test_no_gaps_do_anything_but_decode_or_be_refused(steps, numel, surplus):
    from n2nsurgery.core.errors import InvalidFileError

    coded = np.array(steps, np.uint8)
    values = np.ones(max(0, len(steps) + surplus), np.float32)
    try:
        flat = gaps.decode(coded, values, numel)
    except InvalidFileError:
        return
    assert flat.shape == (numel,)
    assert np.count_nonzero(flat) == len(steps)


@given(packed=st.binary(max_size=20), numel=st.integers(0, 160), kept=st.integers(0, 160))
def test_no_bitmask_does_anything_but_decode_or_be_refused(packed, numel, kept):
    from n2nsurgery.core.errors import InvalidFileError

    try:
        flat = bits.decode(np.frombuffer(packed, np.uint8), np.ones(kept, np.float32), numel)
    except InvalidFileError:
        return
    assert np.count_nonzero(flat) == kept


@pytest.mark.parametrize("distance", [0, 1, 254, 255, 256, 510, 511, 765, 766])
def test_every_distance_around_a_filler_is_walked(distance):
    for start in (0, 5):
        positions = np.unique(np.array([start, start + distance], np.int64))
        steps, values = gaps.encode(positions, np.arange(1, len(positions) + 1, dtype=np.float32), np.uint8)
        assert len(steps) == gaps.entries(positions, np.uint8)
        flat = gaps.decode(steps, values, start + distance + 1)
        assert np.flatnonzero(flat).tolist() == positions.tolist()
        assert (steps[1:] > 0).all()
