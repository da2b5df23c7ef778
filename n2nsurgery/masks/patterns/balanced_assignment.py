"""Balanced assignment: random connections that serve every channel equally often.

Connections between two sets of channels are dealt like cards. The channels of the larger set are the cards, those of
the smaller set the players. A deck holds every card once, in random order; decks are dealt one after the other, and
each player takes consecutive cards. So every card is dealt equally often within one, and hands differ by at most one.

Where a hand reaches into the next deck, the part of that deck which completes it takes cards that the hand does not
hold yet, as long as there are any. Hence a pair of channels is connected twice only when the hand already holds
every card, and at most ceil(hand / cards) times.
"""

from __future__ import annotations

import numpy as np

from n2nsurgery.masks.grid import ChannelGrid


def balanced_units(grid: ChannelGrid, count: int, generator: np.random.Generator) -> np.ndarray:
    """A boolean array of the grid's shape with exactly `count` True, balanced over channels and random otherwise.

    The numbers of True per output channel differ by at most one over the whole grid, and so do those per input
    channel. `count` lies in [0, numel].
    """
    if 2 * count > grid.numel:  # the complement of a balanced choice is balanced, and cheaper to draw
        return ~balanced_units(grid, grid.numel - count, generator)
    connections = np.zeros(grid.shape[:3], dtype=np.min_scalar_type(grid.taps))
    order = generator.permutation(grid.groups)
    each, more = divmod(count, grid.groups)
    for groups, total in ((order[:more], each + 1), (order[more:], each)):
        if total and groups.size:
            connections[groups] = _connections(groups.size, grid, total, generator)
    if grid.taps == 1:
        return connections.view(np.bool_)[..., None]
    return _random_taps(connections, grid.taps, generator)


def _connections(tables: int, grid: ChannelGrid, total: int, generator: np.random.Generator) -> np.ndarray:
    """How often each output is connected with each input in `tables` groups: (tables, outputs, inputs)."""
    held = np.zeros((tables, *sorted((grid.outputs, grid.inputs))), dtype=np.min_scalar_type(grid.taps))
    _assign(held, total, generator)
    return held.swapaxes(1, 2) if grid.outputs > grid.inputs else held


def _assign(held: np.ndarray, total: int, generator: np.random.Generator) -> None:
    """Deal `total` cards at every table; `held` (tables, players, cards) counts how often each player got each."""
    tables, players, cards = held.shape
    seats = generator.permuted(np.tile(np.arange(players), (tables, 1)), axis=1)
    hands = np.full(players, total // players)
    hands[: total % players] += 1
    ends = np.cumsum(hands)
    table = np.arange(tables)[:, None]
    deck = partial = np.empty((tables, 0), dtype=np.int64)
    for start in range(0, total, cards):
        seat = np.searchsorted(ends, np.arange(start, min(start + cards, total)), side="right")
        begin = ends[seat[0]] - hands[seat[0]]
        if begin >= start - cards:  # the open hand began in the previous deck; else it began earlier still
            partial = deck[:, begin - start + deck.shape[1] :]
        deck = _shuffled(tables, cards, generator, last=partial, head=int(ends[seat[0]]) - start)
        held[table, seats[:, seat], deck[:, : seat.size]] += 1  # a deck holds a card once: no index occurs twice


def _shuffled(tables: int, cards: int, generator: np.random.Generator, *, last: np.ndarray, head: int) -> np.ndarray:
    """A deck per table in random order, (tables, cards), whose first `head` cards avoid those in `last`.

    Cards of `last` are in the head only where too few others exist.
    """
    if not last.size:
        return generator.permuted(np.tile(np.arange(cards), (tables, 1)), axis=1)
    rank = generator.random((tables, cards), dtype=np.float32)
    np.put_along_axis(rank, last, np.take_along_axis(rank, last, axis=1) + 1, axis=1)
    deck = rank.argsort(axis=1)
    deck[:, head:] = generator.permuted(deck[:, head:], axis=1)
    return deck


def _random_taps(connections: np.ndarray, taps: int, generator: np.random.Generator) -> np.ndarray:
    """For each pair of channels as many different random taps as it has connections: (..., taps), boolean."""
    wanted = connections.reshape(-1)
    chosen = np.zeros((wanted.size, taps), dtype=np.bool_)
    single = np.flatnonzero(wanted == 1)
    chosen[single, generator.integers(taps, size=single.size)] = True
    several = np.flatnonzero(wanted > 1)
    permutation = generator.random((several.size, taps), dtype=np.float32).argsort(axis=1)
    chosen[several] = permutation < wanted[several, None]
    return chosen.reshape(*connections.shape, taps)
