"""Morse codewords as frames of 64 levels.

Source: Dey, Chugg and Beerel 2018, "Morse Code Datasets for Machine Learning", and the generator published with it.

A dot lasts 1 to 3, a dash `shortest_dash` to 9 and the gap between two of them 1 to 3 values, all uniform. Marks have
levels from N(12, 1.34), gaps and the rest of the frame 0; noise is added to all 64 values; then they are rounded and
clipped to 0..16. The network sees level / 16.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FRAME = 64
LEVELS = 16
_DOT = (1, 3)
_LONGEST_DASH = 9
_GAP = (1, 3)
_MEAN, _DEVIATION = 12.0, 1.34


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """`noise` is the deviation added to levels; with `leading`, the code starts anywhere it fits, else at 0."""

    noise: float
    leading: bool
    shortest_dash: int


DIFFICULTIES = {
    "baseline": Difficulty(noise=0.0, leading=False, shortest_dash=4),
    "difficult": Difficulty(noise=4.0, leading=True, shortest_dash=3),
}


def codewords() -> dict[str, str]:
    """The codeword of each of the 64 classes, in the classes' order.

    Two classes, `H^` and `(`, share a codeword, as in the published table: no classifier is right on more than
    1 - 1/128 of the samples.
    """
    text = resources.files("n2nsurgery.data").joinpath("morse_codewords.json").read_text(encoding="utf-8")
    words: dict[str, str] = json.loads(text)["codewords"]
    return words


def frames(codeword: str, count: int, difficulty: Difficulty, generator: np.random.Generator) -> NDArray[np.uint8]:
    """`count` frames of `codeword` as levels (count, 64) from 0 to 16."""
    dashes = np.array([symbol == "-" for symbol in codeword])
    low = np.where(dashes, difficulty.shortest_dash, _DOT[0])
    high = np.where(dashes, _LONGEST_DASH, _DOT[1])
    marks = generator.integers(low, high, size=(count, len(codeword)), endpoint=True)
    gaps = generator.integers(*_GAP, size=(count, len(codeword)), endpoint=True)
    ends = np.cumsum(marks + gaps, axis=1) - gaps
    if difficulty.leading:
        ends += generator.integers(0, FRAME - ends[:, -1:], endpoint=True)
    time = np.arange(FRAME)
    inside = (time >= (ends - marks)[:, :, None]) & (time < ends[:, :, None])
    levels = inside.any(axis=1) * generator.normal(_MEAN, _DEVIATION, size=(count, FRAME))
    if difficulty.noise:
        levels += generator.normal(0.0, difficulty.noise, size=(count, FRAME))
    return np.clip(np.rint(levels), 0, LEVELS).astype(np.uint8)
