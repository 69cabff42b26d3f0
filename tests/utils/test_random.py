"""Random numbers by key: every key has a stream of its own."""

from __future__ import annotations

from itertools import product

import torch

from diffgmm.utils.random import keyed_generator, window_rng


def test_keys_that_look_alike_have_streams_of_their_own() -> None:
    keys = [*product(range(4), repeat=2), *product(range(4), repeat=3), *product(range(4), repeat=1)]
    keys = [key for key in keys if not (len(key) > 1 and key[-1] == 0)]
    device = torch.device("cpu")
    drawn = {tuple(torch.rand(4, generator=keyed_generator(device, *key)).tolist()) for key in keys}
    assert len(drawn) == len(keys)
    assert len({tuple(window_rng(*key).random(4)) for key in keys}) == len(keys)


def test_a_key_has_the_same_stream_each_time() -> None:
    device = torch.device("cpu")
    first, again = (torch.rand(100, generator=keyed_generator(device, 3, 1, 4)) for _ in range(2))
    assert torch.equal(first, again)
    assert (window_rng(3, 1, 4).random(100) == window_rng(3, 1, 4).random(100)).all()
