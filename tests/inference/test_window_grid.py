"""The grid of windows against one that is written down all at once: where windows lie and how they are faded."""

from __future__ import annotations

import numpy as np
import pytest

from diffgmm.inference.window_grid import WindowGrid

WINDOW, OVERLAP = 20, 6


def starts(total: int, align: int, hop: int, stretch: int) -> list[int]:
    """Whole windows on the grid while more than the longest last one is left; then that, or one moved back."""
    on_grid = list(range(0, max(0, total - WINDOW - stretch), hop))
    place = len(on_grid) * hop
    return [*on_grid, place if stretch else max(0, min(place, (total - WINDOW) // align * align))]


def marked(rows: np.ndarray, keys: list[tuple[int, int]]) -> np.ndarray:
    """Says for every sample which window it comes from, and where it lay."""
    return np.stack([1000.0 * (start + 1) + row for row, (_, start) in zip(rows, keys, strict=True)])


@pytest.mark.parametrize("align", [1, 3, 7])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("stretch", [0, 1, 7])
def test_every_sample_comes_from_its_windows(align: int, batch: int, stretch: int) -> None:
    overlap = OVERLAP + (WINDOW - OVERLAP) % align
    hop = WINDOW - overlap
    rise = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
    for total in range(1, 90):
        x, called, lengths = np.arange(total, dtype=np.float32)[None], list[int](), list[int]()

        def enhance(
            rows: np.ndarray,
            keys: list[tuple[int, int]],
            called: list[int] = called,
            lengths: list[int] = lengths,
        ) -> np.ndarray:
            called.extend(start for _, start in keys)
            lengths.extend(len(row) for row in rows)
            return marked(rows, keys)

        grid = WindowGrid(enhance, 1, WINDOW, OVERLAP, 1, stretch, batch, align)
        pairs = [pair for i in range(0, total, 11) for pair in grid.push(x[:, i : i + 11])]
        pairs += grid.finish()
        heard, out = (np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True))
        np.testing.assert_array_equal(heard, x)
        assert called == starts(total, align, hop, stretch)
        assert lengths[:-1] == [WINDOW] * (len(lengths) - 1)
        if (
            len(lengths) > 1 and stretch
        ):  # nothing is heard twice but the overlaps, and the last window not too short
            assert sum(lengths) == total + (len(lengths) - 1) * overlap
            assert overlap + stretch < lengths[-1] <= WINDOW + stretch
        expected = np.zeros(total)
        for number, start in enumerate(called):
            begin, window = number * hop, np.zeros(total)
            end = total if number == len(called) - 1 else start + WINDOW  # the last one reaches the end
            window[begin:end] = 1000.0 * (start + 1) + np.arange(begin, end)
            fade = np.ones(total)
            if number:
                fade[: begin + overlap] = np.r_[np.zeros(begin), rise][:total]
            expected = expected + fade * (window - expected)
        np.testing.assert_allclose(out[0], expected, rtol=1e-5)


def test_short_sound_is_mirrored_and_cut_back() -> None:
    seen = []

    def enhance(rows: np.ndarray, keys: list[tuple[int, int]]) -> np.ndarray:
        seen.append(rows.copy())
        return rows

    grid = WindowGrid(enhance, 1, WINDOW, OVERLAP, shortest=9)
    x = np.arange(5, dtype=np.float32)[None]
    assert not list(grid.push(x))
    ((heard, out),) = grid.finish()
    np.testing.assert_array_equal(seen[0], [[0, 1, 2, 3, 4, 3, 2, 1, 0]])
    np.testing.assert_array_equal(heard, x)
    np.testing.assert_array_equal(out, x)


def test_rows_come_in_groups_and_say_whose_they_are() -> None:
    """Of two channels, two windows at once where four rows fit; random numbers are keyed by channel and place."""
    called: list[list[tuple[int, int]]] = []

    def enhance(rows: np.ndarray, keys: list[tuple[int, int]]) -> np.ndarray:
        assert [float(row[0]) for row in rows] == [100.0 * channel + start for channel, start in keys]
        called.append(keys)
        return rows

    hop = WINDOW - OVERLAP
    grid = WindowGrid(enhance, 2, WINDOW, OVERLAP, shortest=1, batch=4)
    x = np.arange(5 * hop + OVERLAP, dtype=np.float32) + np.array([[0.0], [100.0]], np.float32)
    assert sum(1 for _ in grid.push(x)) == 4 and len(list(grid.finish())) == 1
    pairs = [[(channel, k * hop) for k in group for channel in (0, 1)] for group in ((0, 1), (2, 3), (4,))]
    assert called == pairs
