"""The words of the report in plain words, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

N2NSKIP = "N2NSkip: Learning Highly Sparse Representations through Neuron-to-Neuron Skip Connections"
SCATTER = "Characterizing sparse connectivity patterns in neural networks, section 3"
EFFECTIVE = "Vysogorets and Kempe, Connectivity matters, JMLR 24, 2023"
RAMANUJAN = "Hoang et al., Revisiting pruning at initialization through the lens of Ramanujan graph, ICLR 2023"
FIEDLER = "Fiedler, Algebraic connectivity of graphs, Czech. Math. J. 23, 1973"
DUHAMEL = "first-order perturbation of the heat flow (Duhamel's formula)"


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word, what it means in plain words, and where it comes from."""

    word: str
    meaning: str
    source: str


GLOSSARY = (
    Term(
        word="Channel graph",
        meaning="The network as a graph: each channel (or neuron) is a node, two nodes are joined where a layer keeps a"
        " weight between them. The sum of these weights' sizes is the edge's conductance.",
        source=f"{N2NSKIP}, section 3.2",
    ),
    Term(
        word="Reference",
        meaning="The same network before anything was pruned and without skips.",
        source=f"{N2NSKIP}, section 3.2",
    ),
    Term(
        word="Density, effective density",
        meaning="The share of weights that are kept; and the share that are kept and lie on a path from the input to"
        " the output. The difference is weights that cost memory and change nothing.",
        source=EFFECTIVE,
    ),
    Term(
        word="Dead channel",
        meaning="A channel on no path from the input to the output: nothing reaches it, or nothing reads it.",
        source=EFFECTIVE,
    ),
    Term(
        word="Heat, S(t)",
        meaning="Think of heat that is put into the input's channels and spreads along the edges, in both directions,"
        " the faster the larger their conductance. S(t) is how much each channel has after the time t:"
        " S(t) = exp(-tL) A. It spreads fast where a network is well connected and waits where it is not.",
        source=f"{N2NSKIP}, Eqs. 3-5",
    ),
    Term(
        word="Settled, t*",
        meaning="Heat has settled when all but 1/1000 of it is where it stays in the end. t* is the time that the"
        " reference needs; all times are multiples of it.",
        source="stated here, because the paper takes a large t and gives no value",
    ),
    Term(
        word="F",
        meaning="The distance between the heat signatures of this network and the reference, at most √(2 · number of"
        " inputs). 0: heat is spread alike.",
        source=f"{N2NSKIP}, Eq. 6",
    ),
    Term(
        word="Limits heat",
        meaning="A block's share in the settling time: if its connections were 1 % stronger, heat would settle so many"
        " hundredths of 1 % sooner. The shares add up to 100 %, and a layer that holds most of it is a bottleneck."
        " Where the share is negative, heat would settle later.",
        source=DUHAMEL,
    ),
    Term(
        word="Paths",
        meaning="The share of all ways from the input to the output, weight by weight, that lead through a layer. A"
        " layer of 100 % cannot be avoided; skips let paths lead around it.",
        source="counted here over the channel graph",
    ),
    Term(
        word="Scree curve, alpha(K, t)",
        meaning="Which share of the diffusion lies in the slowest K % of its modes at time t.",
        source=f"{N2NSKIP}, Eq. 7",
    ),
    Term(
        word="λ₂ and θ₁",
        meaning="The slowest rate at which anything settles in the largest component, and the slowest at which the"
        " input's heat does.",
        source=FIEDLER,
    ),
    Term(
        word="Ramanujan gap",
        meaning="How well a layer mixes its channels for its number of connections. Not negative: as well as possible."
        " A layer with at most one connection for each channel, as a one-to-one skip has, has no gap.",
        source=RAMANUJAN,
    ),
    Term(
        word="Scatter",
        meaning="How evenly a layer's connections spread over the channels on its two sides; 1 is even, about 0.63 is"
        " chance.",
        source=SCATTER,
    ),
)
