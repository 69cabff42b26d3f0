"""The shipped model on a recording longer than its windows: in pieces, on the grid, and in one full pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from diffgmm.inference import Denoiser


def ratio_db(error: np.ndarray, reference: np.ndarray) -> float:
    return 10 * float(
        np.log10(np.mean(np.square(error, dtype=float)) / np.mean(np.square(reference, dtype=float)))
    )


def test_pieces_grid_and_one_full_pass(record_property: pytest.FixtureRequest) -> None:
    """`pytest -s` shows the figures: pieces on the grid are the same sound, one full pass hears more at a time."""
    from data_modules.noisy_speech import NoisySpeech

    data = NoisySpeech("mini", test_pairs=6, valid_seconds=4.0)
    data.setup("test")
    noisy = np.concatenate(
        [row for batch in data.test_dataloader() for row in batch["noisy"].numpy()], axis=1
    )
    noisy = noisy[:, 1000:]  # else two pairs join just where the first window ends: a step that is no seam
    seconds = noisy.shape[1] / 16000
    assert seconds > 20  # several windows of 4 s
    denoiser = Denoiser.from_pretrained("base")
    whole = denoiser.denoise(noisy, 16000)
    edges = [0, 1, 5000, 5001, 70000, 199999, noisy.shape[1]]
    pieces = (noisy[:, a:b] for a, b in pairwise(edges))
    cut = np.concatenate(list(denoiser.denoise_blocks(pieces, 16000, 1)), axis=1)
    in_pieces = ratio_db(cut - whole, whole) if not np.array_equal(cut, whole) else -np.inf
    one = Denoiser(denoiser.model, denoiser.description, window_seconds=seconds + 1).denoise(noisy, 16000)
    single = ratio_db(whole - one, one)
    print(
        f"\npieces against whole {in_pieces:.0f} dB; grid against one pass of {seconds:.0f} s {single:.1f} dB"
    )
    record_property("grid_against_one_pass_db", round(single, 2))  # type: ignore[operator]
    assert in_pieces < -60
    assert single < -10  # the recurrence has heard more in one pass; no seam is test_inference's business
    jumps = np.abs(np.diff(whole - one))[0]
    seams = [k * 55845 + i for k in range(1, 6) for i in (0, 8155)]  # where fades begin and end
    around = [np.r_[jumps[seam - 200 : seam - 2], jumps[seam + 2 : seam + 200]].max() for seam in seams]
    # A seam would stand out at every edge; by chance alone 1 of 100 edges has the largest step of its surroundings.
    higher = [jumps[seam - 2 : seam + 2].max() > most for seam, most in zip(seams, around, strict=True)]
    assert sum(higher) <= 1
