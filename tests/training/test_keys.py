"""Order and randomness: functions of the seed, whatever the steps, workers and devices."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("training")


def places(batches: Any, count: int) -> list[tuple[int, int]]:
    return [(key.epoch, key.index) for keys in itertools.islice(batches, count) for key in keys]


def test_each_pass_sees_every_item_once_in_an_order_of_its_own() -> None:
    from facekit.training.keys import KeyBatches

    seen = places(KeyBatches(7, 3, seed=5), 7)
    passes = [[index for epoch, index in seen if epoch == number] for number in range(3)]
    assert [sorted(one) for one in passes] == [list(range(7))] * 3
    assert passes[0] != passes[1] != passes[2]


def test_a_stream_goes_on_where_another_stopped() -> None:
    from facekit.training.keys import KeyBatches

    whole = places(KeyBatches(10, 4, seed=1, stop=9), 99)
    parts = places(KeyBatches(10, 4, seed=1, stop=5), 99)
    parts += places(KeyBatches(10, 4, seed=1, start=5, stop=9), 99)
    assert whole == parts
    assert len(whole) == 36


def test_processes_share_each_batch() -> None:
    from facekit.training.keys import KeyBatches

    whole = list(KeyBatches(10, 4, seed=1, stop=6))
    shares = [list(KeyBatches(10, 4, seed=1, stop=6, share=(rank, 2))) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert len(first) == len(second) == 2
        assert set(first) | set(second) == set(batch)


def test_keys_say_the_step_and_the_progress() -> None:
    from facekit.training.keys import KeyBatches

    batches = list(KeyBatches(4, 2, seed=1, start=2, stop=4, progress=lambda step: step / 4))
    assert [[(key.step, key.progress) for key in keys] for keys in batches] == [
        [(2, 0.5), (2, 0.5)],
        [(3, 0.75), (3, 0.75)],
    ]


def test_an_items_randomness_is_its_seed_epoch_and_index_alone() -> None:
    import torch

    from facekit.training import ItemKey

    def draw(key: ItemKey) -> tuple[float, float]:
        with key.seeded():
            return float(torch.rand(())), float(key.random().random())

    first = draw(ItemKey(1, 2, 3))
    torch.rand(9)
    assert draw(ItemKey(1, 2, 3, step=8, progress=0.5)) == first
    others = [draw(ItemKey(*words)) for words in [(0, 2, 3), (1, 3, 2), (1, 2, 4), (1, 2, 0)]]
    assert len({first, *others}) == 5


def test_torchs_own_generator_is_put_back() -> None:
    import torch

    from facekit.training import ItemKey

    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    with ItemKey(0, 0, 0).seeded():
        torch.rand(5)
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_shares_a_generator() -> None:
    from facekit.training import ItemKey

    first, second = (ItemKey(1, 0, index, step=7).batch_random().random() for index in (3, 4))
    assert first == second != ItemKey(1, 0, 3, step=8).batch_random().random()
