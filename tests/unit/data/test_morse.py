"""Morse codewords and the frames made of them."""

import json
import re

import numpy as np
import pytest
import torch

from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.data.assembly.morse_code import DIFFICULTIES, codewords, frames
from n2nsurgery.data.registry import DATA_SETS


def test_there_are_64_classes_of_63_codewords():
    words = codewords()
    assert len(words) == 64
    assert [name for name, word in words.items() if list(words.values()).count(word) > 1] == ["H^", "("]
    assert all(re.fullmatch(r"[.-]{1,6}", word) for word in words.values())


def test_the_table_is_the_published_one(real_data):
    path = real_data("morse_codewords.json") / "morse_codewords.json"
    published = json.loads(path.read_text(encoding="utf-8"))["codewords"]
    assert list(codewords().items()) == list(published.items())


@pytest.mark.parametrize(
    ("name", "word"),
    [("S", "..."), ("O", "---"), ("Q", "--.-"), ("0", "-----"), ("?", "..--.."), ("CH", "----"), ("@", ".--.-.")],
)
def test_some_codewords_everybody_knows(name, word):
    assert codewords()[name] == word


@pytest.mark.parametrize("word", ["-", ".-.-.-", "-----", "--..--"])
@pytest.mark.parametrize("level", list(DIFFICULTIES))
def test_a_frame_without_noise_spells_its_codeword(word, level):
    difficulty = DIFFICULTIES[level]
    quiet = type(difficulty)(noise=0.0, leading=difficulty.leading, shortest_dash=difficulty.shortest_dash)
    for frame in frames(word, 200, quiet, numpy_generator(0, "test")):
        text = "".join("x" if value else " " for value in frame)
        pattern = " {1,3}".join("x{1,3}" if symbol == "." else f"x{{{quiet.shortest_dash},9}}" for symbol in word)
        assert re.fullmatch(rf" {'*' if quiet.leading else '{0}'}{pattern} *", text), text


def test_lengths_and_starts_take_every_allowed_value():
    difficult = DIFFICULTIES["difficult"]
    quiet = type(difficult)(noise=0.0, leading=True, shortest_dash=3)
    marks = [np.flatnonzero(frame) for frame in frames("-", 3000, quiet, numpy_generator(0, "test"))]
    assert {len(mark) for mark in marks} == set(range(3, 10))
    assert min(mark[0] for mark in marks) == 0
    assert max(mark[-1] for mark in marks) == 63


def test_levels_have_the_stated_distribution():
    baseline = frames("-----", 2000, DIFFICULTIES["baseline"], numpy_generator(0, "test"))
    marks = baseline[baseline > 0].astype(float)
    # 60,000 marks: 6 standard errors of the mean are 0.033. Clipping at 16 takes 0.1 % off the top and rounding adds
    # 1/12 to the variance: sqrt(1.34^2 + 1/12) = 1.371.
    assert abs(marks.mean() - 12) < 0.04
    assert abs(marks.std() - 1.371) < 0.03
    difficult = frames(".", 4000, DIFFICULTIES["difficult"], numpy_generator(0, "test"))
    # Most of a frame of a dot is noise: half of it is below 0.5 and is clipped to 0 (P = 0.55 for deviation 4).
    assert 0.5 < np.mean(difficult == 0) < 0.58


def test_the_papers_sizes_are_the_defaults():
    morse = DATA_SETS.get("morse")()
    assert (morse.train_per_class, morse.validation_per_class, morse.test_per_class) == (5000, 1000, 1000)
    small = DATA_SETS.get("morse")(train_per_class=3, validation_per_class=2, test_per_class=1)
    splits = small.load(None, download=False, seed=0)
    assert (splits.train.size, splits.validation.size, splits.test.size) == (192, 128, 64)
    inputs, _ = splits.train.batch(torch.arange(192))
    assert inputs.min() == 0
    assert inputs.max() <= 1
    assert torch.equal(inputs * 16, (inputs * 16).round())
