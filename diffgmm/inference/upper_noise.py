"""What is steady above the model's band: a whine or hiss that goes on while somebody speaks, and is no speech."""

from __future__ import annotations

import numpy as np

from diffgmm.audio.buffer import Fifo

FRAME_SECONDS = 0.01  # hop of the frames (they are twice as long)
BLOCK = 10  # frames whose mean power is one piece of evidence
EVIDENCE = 20  # blocks before or after that are looked at: 2 s of speech hold some without a sibilant
QUIETER = 1  # of these blocks may be quieter than the noise
# Times the low power that was measured: lowest blocks of a hiss hold about half its mean, and single frames vary.
EXCESS = 4.0
SMOOTHING = 2  # frames on either side over which a frame's power is averaged
FLOOR = 0.1  # least gain


class UpperNoise:
    """Estimates the steady part of a sound above a frequency, from the sound alone.

    The noise in a bin of 50 Hz is as strong as the quiet blocks of 0.1 s within the 2 s before or, where the sound may
    be heard in advance, after. Speech above 8 kHz comes and goes, so its quietest blocks are much weaker.
    A frame's bin of power P, the noise's being N, has the steady part (1 - G) times the bin with
    G^2 = max(1 - 4 N / P, 0.1^2): spectral subtraction with an excess (Berouti et al., ICASSP 1979) over a noise power
    from minimum statistics (Martin, IEEE Trans. Speech Audio Process. 2001).

    Args:
        channels: treated independently of each other.
        sample_rate: of the sound, Hz.
        above: lowest frequency that is looked at, Hz.
        ahead: also judge by the 2 s after; what comes out is that much later.
    """

    def __init__(self, channels: int, sample_rate: int, above: float, ahead: bool) -> None:
        self._channels, self._hop = channels, round(FRAME_SECONDS * sample_rate)
        size = 2 * self._hop
        self._window = np.sin(np.pi * np.arange(size) / size)  # its square adds up to one
        self._upper = np.fft.rfftfreq(size, 1 / sample_rate) >= above
        self._bins, self._ahead = int(self._upper.sum()), EVIDENCE if ahead else 0
        self._input, self._output = Fifo(channels), Fifo(channels)
        self._input.push(np.zeros((channels, self._hop)))  # frame j is centred on sample j * hop
        self._powers = Fifo(channels * self._bins, np.float64)  # of whole blocks
        self._next, self._tail = 0, np.zeros((channels, self._hop))

    @property
    def end(self) -> int:
        """Samples, from the very first, whose noise is known."""
        return self._output.end

    def push(self, x: np.ndarray) -> None:
        """Feed ``[channels, n]``."""
        self._input.push(x)
        while (self._powers.end + 1) * BLOCK <= self._frames:
            spectrum = self._spectrum(self._powers.end * BLOCK, (self._powers.end + 1) * BLOCK)
            self._powers.push(np.square(np.abs(spectrum)).mean(axis=1).reshape(-1, 1))
        while (
            self._powers.end > self._next + self._ahead
            and self._frames >= (self._next + 1) * BLOCK + SMOOTHING
        ):
            self._settle()

    def finish(self) -> None:
        """No more input: make the noise known to the end."""
        missing = -(-self._input.end // self._hop) + 1 - self._next * BLOCK
        blocks = -(-missing // BLOCK)
        self._input.push(np.zeros((self._channels, (blocks * BLOCK + SMOOTHING + 2) * self._hop)))
        for _ in range(blocks):
            self._settle()

    def take(self, start: int, end: int) -> np.ndarray:
        """Noise ``[channels, end - start]`` of these samples; earlier ones are forgotten."""
        self._output.forget(start)
        return self._output.view(start, end)

    @property
    def _frames(self) -> int:
        return self._input.end // self._hop - 1

    def _spectrum(self, first: int, last: int) -> np.ndarray:
        """Upper bins ``[channels, frames, bins]`` of frames from ``first`` up to ``last``."""
        x = self._input.view(first * self._hop, (last + 1) * self._hop).astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(x, len(self._window), axis=1)[:, :: self._hop]
        spectrum: np.ndarray = np.fft.rfft(frames * self._window)[..., self._upper]
        return spectrum

    def _settle(self) -> None:
        """Make the noise known up to the middle of the last frame of the next block."""
        block, self._next = self._next, self._next + 1
        noise = np.zeros((self._channels, (BLOCK + 1) * self._hop))
        noise[:, : self._hop] = self._tail
        steady = np.maximum(self._low(block - EVIDENCE, block), self._low(block, block + self._ahead))
        if steady.any():
            before = min(SMOOTHING, block * BLOCK)
            spectrum = self._spectrum(block * BLOCK - before, (block + 1) * BLOCK + SMOOTHING)
            powers = np.square(np.abs(spectrum))
            powers = np.pad(powers, [(0, 0), (SMOOTHING - before, 0), (0, 0)])
            around = np.lib.stride_tricks.sliding_window_view(powers, 2 * SMOOTHING + 1, axis=1).mean(axis=-1)
            excess = np.maximum(EXCESS * steady[:, None], np.finfo(np.float64).tiny)
            gain = np.sqrt(np.maximum(1 - excess / np.maximum(around, excess), FLOOR**2))
            spectra = np.zeros((self._channels, BLOCK, len(self._upper)), complex)
            spectra[..., self._upper] = (1 - gain) * spectrum[:, before : before + BLOCK]
            frames = np.fft.irfft(spectra, len(self._window)) * self._window
            for i in range(BLOCK):
                noise[:, i * self._hop : (i + 2) * self._hop] += frames[:, i]
        first = self._hop if block == 0 else 0  # the first half of the first frame lies before the sound
        self._output.push(noise[:, first : BLOCK * self._hop])
        self._tail = noise[:, BLOCK * self._hop :]
        self._input.forget((self._next * BLOCK - SMOOTHING) * self._hop)
        self._powers.forget(self._next - EVIDENCE)

    def _low(self, first: int, last: int) -> np.ndarray:
        """Power ``[channels, bins]`` of the quiet ones among these blocks; zero if they are too few."""
        first, last = max(first, 0), min(last, self._powers.end)
        if last - first < EVIDENCE:
            return np.zeros((self._channels, self._bins))
        low = np.partition(self._powers.view(first, last), QUIETER, axis=1)[:, QUIETER]
        return low.reshape(self._channels, self._bins)
