"""Memory of activations: given out again when a tensor is dead, never before, and not kept without bound."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from n2nsurgery.sparse_training.functions import layout, memory

SHAPE = (64, 16, 16, 16)  # 1 MiB


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> memory._Pool:
    """A pool of the test's own."""
    gc.collect()
    fresh = memory._Pool()
    monkeypatch.setattr(memory, "_pool", fresh)
    return fresh


def test_memory_of_a_dead_tensor_is_used_again() -> None:
    """The next tensor of the size lies in the same place, whoever lived longest of those that shared it."""
    first = layout.empty(SHAPE)
    place = first.data_ptr()
    view = first[1:]
    del first
    other = layout.empty(SHAPE)
    assert other.data_ptr() != place
    del view
    assert layout.empty(SHAPE).data_ptr() == place


def test_a_tensor_is_an_ordinary_one() -> None:
    """It lies in the layout, is no view, and outlives a release."""
    tensor = layout.empty(SHAPE)
    assert layout.is_laid_out(tensor)
    assert not tensor._is_view()
    tensor.fill_(2.0)
    memory.release()
    assert torch.equal(tensor, torch.full(SHAPE, 2.0))


def test_unused_memory_is_bounded_and_released(pool: memory._Pool) -> None:
    """Sizes that change from batch to batch leave no more than was used at once, but for the rest of a region."""
    for images in range(1064, 1096):
        layout.empty((images, *SHAPE[1:]))
    largest = 4 * 1095 * 16 * 16 * 16
    assert 0 < pool._unused <= largest + memory._LEAST_REGION
    memory.release()
    assert pool._unused == 0
    assert not any(pool._free.values())


def test_small_tensors_lie_where_a_large_one_was_and_the_other_way_round(pool: memory._Pool) -> None:
    """They share no byte, and no more memory is asked for."""
    large = layout.empty((16 * SHAPE[0], *SHAPE[1:]))
    place = large.data_ptr()
    del large
    small = [layout.empty(SHAPE).fill_(number) for number in range(16)]
    assert sorted(tensor.data_ptr() - place for tensor in small) == [number << 20 for number in range(16)]
    assert all(bool((tensor == number).all()) for number, tensor in enumerate(small))
    assert pool._unused == 0
    del small
    assert layout.empty((16 * SHAPE[0], *SHAPE[1:])).data_ptr() == place


def test_tensors_die_while_the_pool_is_looked_through(pool: memory._Pool) -> None:
    """The garbage collector may run at any allocation, also at one of the pool's own."""
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        for allocations in range(60):
            kept = [layout.empty((SHAPE[0] + number, *SHAPE[1:])) for number in range(12)]
            cycle: list[object] = [layout.empty((2 * SHAPE[0] + number, *SHAPE[1:])) for number in range(4)]
            cycle.append(cycle)
            del cycle, kept[::2]
            gc.set_threshold(gc.get_count()[0] + allocations, *thresholds[1:])
            gc.enable()
            layout.empty((40 * SHAPE[0], *SHAPE[1:]))  # for which blocks have to be joined
            gc.disable()
            del kept
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
    gc.collect()
    assert pool._used == 0
    memory.release()
    assert pool._unused == 0
    assert not any(pool._free.values())


def test_tensors_die_in_any_thread(pool: memory._Pool) -> None:
    """No block is given out twice, and the counts are right at the end."""
    failures: list[str] = []

    def work(number: int) -> None:
        for _ in range(200):
            tensor = layout.empty(SHAPE).fill_(number)
            if tensor.min() != number or tensor.max() != number:
                failures.append(f"thread {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert pool._used == 0
