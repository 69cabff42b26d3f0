"""What the process runs on: waveform, magnitude or complex spectrogram; encode, decode and level.

Every representation normalises a window by a statistic of the *noisy* input alone (``context``), and undoes it in
``decode``. Shapes: waveforms ``[B, 1, T]``, encoded signals ``[B, C, *S]`` with ``S = (T,)`` or ``(F, N)``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from diffgmm.networks.base import Part, at_least_float32
from diffgmm.utils.errors import one_of

Window = Literal["hann", "sqrt_hann"]
Rule = Literal["subtract", "wiener", "learned"]
RULES: tuple[Rule, ...] = get_args(Rule)


class Wiener(nn.Module):
    r"""Wiener gain: ``s = y - 2 max(n, 0)`` in dB.

    With powers that add, :math:`|Y|^2 = |S|^2 + |N|^2`, the noise in dB is :math:`n = 10 \log_{10} |Y|^2 / |S|^2`, and
    the Wiener gain :math:`|S|^2 / (|S|^2 + |N|^2) = 10^{-n/10}`: the square of the gain :math:`10^{-n/20}` of a direct
    subtraction, which is that of power spectral subtraction. It is at most 1, so an estimate below zero (noise that
    cancels speech) changes nothing.

    Example:
        >>> Wiener()(torch.tensor([0.0, 0.0]), torch.tensor([6.0, -3.0])).tolist()
        [-12.0, 0.0]
    """

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """``noisy`` and ``noise`` ``[B, 1, F, N]`` in dB to clean speech in dB."""
        return noisy - 2.0 * noise.clamp_min(0.0)


class Learned(nn.Module):
    """Subtraction with a factor and an offset per frequency that training finds: ``s = y - (a_f n + b_f)``.

    It starts as the direct subtraction. Losses on the estimated noise don't reach it: training needs one on the
    decoded window (``spectrum``, ``si_sdr``, ``multi_resolution_stft``).

    Args:
        bins: frequencies, F.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(bins, 1))
        self.offset = nn.Parameter(torch.zeros(bins, 1))

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """``noisy`` and ``noise`` ``[B, 1, F, N]`` in dB to clean speech in dB."""
        return noisy - (self.factor * noise + self.offset)


SILENCE_RMS = 1e-6
"""Below this root mean square (-120 dBFS) a window counts as silent and is left at its level."""


class Context(NamedTuple):
    """What decoding needs beside the encoded signal, all taken from the noisy window."""

    level: Tensor  # [B, 1, 1]: the noisy window is divided by it
    length: int  # samples
    phase: Tensor | None = None  # [B, F, N], unit modulus, complex


def _rms_level(noisy: Tensor) -> Tensor:
    rms = at_least_float32(noisy).square().mean(dim=(1, 2), keepdim=True).sqrt()
    return torch.where(rms > SILENCE_RMS, rms, torch.ones_like(rms))


class Representation(Part, ABC):
    """Base class, of representations of your own too, which say how a waveform is encoded and decoded.

    ``channels`` is C, ``dims`` the number of axes in S, ``linear`` says whether n is the true noise.
    ``state_affine`` and ``noise_affine`` are ``(factor, offset)``: the network sees ``factor * x + offset`` and
    predicts noise as ``(n + offset) * factor`` in its own scaled units.
    """

    channels: int
    dims: int
    linear: bool
    state_affine: tuple[float, float] = (1.0, 0.0)
    noise_affine: tuple[float, float] = (1.0, 0.0)

    def __init__(self, sample_rate: int = 16000) -> None:
        super().__init__()
        if sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, got {sample_rate}")
        self.sample_rate = sample_rate
        #: Length of the windows that the model denoises recordings in, seconds; ``None``: the denoiser's own.
        self.window_seconds: float | None = None
        # Takes the noise off another way than by s = y - n; part of the model, for it may have parameters.
        self.rule: nn.Module | None = None

    def remove(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """What taking the ``noise`` off the ``noisy`` signal leaves, each ``[B, C, *S]``."""
        return noisy - noise if self.rule is None else self.rule(noisy, noise)

    @torch.no_grad()
    def context(self, noisy: Tensor) -> Context:
        """Level, length and phase of ``noisy`` ``[B, 1, T]``: constants (no gradient) for encode and decode."""
        return Context(_rms_level(noisy), noisy.shape[-1])

    @abstractmethod
    def encode(self, wave: Tensor, context: Context) -> Tensor:
        """``[B, 1, T]`` in [-1, 1] to ``[B, C, *S]``."""

    def target(self, clean: Tensor, context: Context) -> Tensor:
        """What training aims at: clean speech ``[B, 1, T]`` to ``[B, C, *S]``, by default as :meth:`encode` has it."""
        return self.encode(clean, context)

    @abstractmethod
    def decode(self, encoded: Tensor, context: Context) -> Tensor:
        """``[B, C, *S]`` back to ``[B, 1, T]`` at the original level and length."""

    @abstractmethod
    def spectrum(self, encoded: Tensor, context: Context) -> Tensor:
        """``[B, C, *S]`` without compression, at the original level: ``[B, T]``, or complex spectra ``[B, F, N]``.

        What :meth:`decode` gives to the inverse transform. White noise of variance v has bins of variance v.
        """


class Waveform(Representation):
    """The level-normalised waveform itself, ``[B, 1, T]``."""

    channels, dims, linear = 1, 1, True

    def encode(self, wave: Tensor, context: Context) -> Tensor:
        """Divide by the noisy level."""
        return at_least_float32(wave) / context.level

    def decode(self, encoded: Tensor, context: Context) -> Tensor:
        """Multiply by the noisy level."""
        return at_least_float32(encoded) * context.level

    def spectrum(self, encoded: Tensor, context: Context) -> Tensor:
        """The waveform, ``[B, T]``."""
        return self.decode(encoded, context).squeeze(1)


class Spectral(Representation):
    """Short-time Fourier transform shared by the spectral representations, scaled to keep white noise at its level."""

    window: Tensor

    def __init__(self, sample_rate: int, n_fft: int, hop: int, window: Window) -> None:
        super().__init__(sample_rate)
        if not 0 < hop <= n_fft // 2 + 1:
            raise ValueError(f"hop must be in 1..{n_fft // 2 + 1} for n_fft {n_fft}, got {hop}")
        shapes = {"hann": 1.0, "sqrt_hann": 0.5}
        one_of("window", window, shapes)
        self.n_fft, self.hop = n_fft, hop
        taps = torch.hann_window(n_fft, dtype=torch.float64).pow(shapes[window])
        self.register_buffer("window", taps.float(), persistent=False)
        self._scale = 1.0 / math.sqrt(float(taps.square().sum()))

    @property
    def bins(self) -> int:
        """Number of frequency bins, F."""
        return self.n_fft // 2 + 1

    def _stft(self, wave: Tensor) -> Tensor:
        # Zero padding, unlike reflection, works for any length and keeps a piece independent of its end.
        options: Any = {"window": self.window, "pad_mode": "constant", "return_complex": True}
        return torch.stft(at_least_float32(wave).squeeze(1), self.n_fft, self.hop, **options) * self._scale

    def decode(self, encoded: Tensor, context: Context) -> Tensor:
        """``[B, C, F, N]`` to ``[B, 1, T]``; of magnitudes with the noisy phase, bins at or below the floor silent."""
        spectrum = self._expanded(encoded, context) / self._scale
        wave = torch.istft(spectrum, self.n_fft, self.hop, window=self.window, length=context.length)
        return wave.unsqueeze(1) * context.level

    def spectrum(self, encoded: Tensor, context: Context) -> Tensor:
        """``[B, C, F, N]`` to complex ``[B, F, N]``; of magnitudes with the noisy phase."""
        return self._expanded(encoded, context) * context.level

    @abstractmethod
    def _expanded(self, encoded: Tensor, context: Context) -> Tensor:
        """Complex ``[B, F, N]`` without compression, still divided by the level."""

    def sides(self) -> Tensor:
        """Bins of the two-sided spectrum that each bin stands for, ``[F]``: 1 at 0 Hz and at half the rate, else 2."""
        counts = torch.full((self.bins,), 2.0, device=self.window.device)
        counts[0] = 1.0
        if self.n_fft % 2 == 0:
            counts[-1] = 1.0
        return counts

    def _padded(self, wave: Tensor) -> Tensor:
        """``wave`` lengthened by zeros so that the frames cover its last sample with full overlap."""
        return nn.functional.pad(wave, (0, -wave.shape[-1] % self.hop))


class Complex(Spectral):
    r"""Amplitude-compressed complex spectrogram, ``[B, 2, F, N]`` (real, imaginary).

    :math:`\tilde X = \beta |X|^\alpha e^{i \angle X}`, as in score-based speech enhancement (Richter et al.,
    "Speech enhancement and dereverberation with diffusion-based generative models", 2023, eq. 19), after division
    by the noisy window's root mean square.

    Args:
        sample_rate: Hz.
        n_fft: samples; 510 gives 256 bins.
        hop: samples.
        window: ``hann`` or ``sqrt_hann`` (the latter reconstructs exactly with a hop of half of n_fft).
        alpha: compression exponent in (0, 1].
        beta: factor that brings values to about unit size.

    Raises:
        ValueError: for values outside these ranges.
    """

    channels, dims = 2, 2

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 510,
        hop: int = 128,
        window: Window = "hann",
        alpha: float = 0.5,
        beta: float = 1.0,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop, window)
        if not 0.0 < alpha <= 1.0 or not beta > 0.0:
            raise ValueError(f"alpha must be in (0, 1] and beta positive, got {alpha} and {beta}")
        self.alpha, self.beta = alpha, beta
        self.linear = alpha == 1.0

    _FLOOR = 1e-12  # of the squared magnitude: below it the map is linear, so gradients stay finite at zero

    def encode(self, wave: Tensor, context: Context) -> Tensor:
        """``[B, 1, T]`` to ``[B, 2, F, N]``."""
        parts = torch.view_as_real(self._stft(self._padded(wave) / context.level)).permute(0, 3, 1, 2)
        power = parts.square().sum(1, keepdim=True).clamp_min(self._FLOOR)
        return self.beta * parts * power.pow(0.5 * (self.alpha - 1.0))

    def _expanded(self, encoded: Tensor, context: Context) -> Tensor:
        parts = at_least_float32(encoded) / self.beta
        power = parts.square().sum(1, keepdim=True).clamp_min(self._FLOOR**self.alpha)
        parts = parts * power.pow(0.5 * (1.0 / self.alpha - 1.0))
        return torch.view_as_complex(parts.permute(0, 2, 3, 1).contiguous())


class Magnitude(Spectral):
    """Magnitude spectrogram in dB or power-compressed, ``[B, 1, F, N]``; the noisy phase returns at decode.

    Args:
        sample_rate: Hz.
        n_fft: samples; 255 gives 128 bins.
        hop: samples.
        window: ``hann`` or ``sqrt_hann``.
        scaling: ``db`` (20 log10, relative to the largest bin of the noisy window, floored at ``-top_db``) or
            ``power`` (magnitude to the power 0.3, of the window at unit root mean square).
        top_db: range kept below the noisy window's largest bin, dB.
        belz: run the network on ``(x + 46) / 50`` and the noise on ``(n - 6) / 82`` (V. Belz,
            "Speech-enhancement", 2019); the process itself stays in dB.
        rule: how the noise, in dB, is taken off: ``subtract``, ``wiener`` or ``learned``
            (:mod:`diffgmm.diffusion.representation`).
        reference: what 0 dB is in the clean spectrogram that training aims at: the largest bin of the ``noisy`` window,
            or its ``own``, as Belz has it. With ``own`` the output of a window peaks about where the noisy one does.
        window_seconds: length of the windows that recordings are denoised in; ``null``: the denoiser's 4 s.

    Raises:
        ValueError: for an unknown scaling, rule or reference, for ``belz``, a rule or a reference of its own with
            another scaling than ``db``, or a length that is not positive.
    """

    channels, dims, linear = 1, 2, False
    _EXPONENT = 0.3

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 510,
        hop: int = 128,
        window: Window = "hann",
        scaling: Literal["db", "power"] = "db",
        top_db: float = 80.0,
        belz: bool = False,
        rule: Rule = "subtract",
        reference: Literal["noisy", "own"] = "noisy",
        window_seconds: float | None = None,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop, window)
        special = belz or rule != "subtract" or reference != "noisy"
        if scaling not in ("db", "power") or (scaling != "db" and special):
            raise ValueError(f"scaling must be db or power (belz, reference, rules need db), got {scaling!r}")
        one_of("rule", rule, RULES)
        one_of("reference", reference, ("noisy", "own"))
        if window_seconds is not None and not window_seconds > 0:
            raise ValueError(f"window_seconds must be positive, got {window_seconds}")
        self.reference, self.window_seconds = reference, window_seconds
        self.scaling, self.top_db = scaling, top_db
        # ``subtract`` needs no parts: s = y - n, as the process itself has it.
        self.rule = {"subtract": None, "wiener": Wiener(), "learned": Learned(self.bins)}[rule]
        if belz:
            self.state_affine, self.noise_affine = (1.0 / 50.0, 46.0 / 50.0), (1.0 / 82.0, -6.0)
        elif scaling == "db":
            self.state_affine, self.noise_affine = (2.0 / top_db, 1.0), (2.0 / top_db, 0.0)

    @torch.no_grad()
    def context(self, noisy: Tensor) -> Context:
        """Level (largest bin for dB, root mean square for power), length and unit phase of the noisy window."""
        spectrum = self._stft(self._padded(noisy))
        magnitude = spectrum.abs()
        phase = torch.where(magnitude > 0, spectrum / magnitude.clamp_min(1e-20), torch.ones_like(spectrum))
        if self.scaling == "db":
            peak = magnitude.amax(dim=(1, 2)).reshape(-1, 1, 1)
            level = torch.where(peak > SILENCE_RMS, peak, torch.ones_like(peak))
        else:
            level = _rms_level(noisy)
        return Context(level, noisy.shape[-1], phase)

    def encode(self, wave: Tensor, context: Context) -> Tensor:
        """``[B, 1, T]`` to ``[B, 1, F, N]``; values below the floor are raised to it."""
        magnitude = self._stft(self._padded(wave) / context.level).abs().unsqueeze(1)
        if self.scaling == "power":
            return magnitude.clamp_min(1e-8).pow(self._EXPONENT)
        return 20.0 * torch.log10(magnitude.clamp_min(10.0 ** (-self.top_db / 20.0)))

    def target(self, clean: Tensor, context: Context) -> Tensor:
        """As :meth:`encode`, with ``reference: own`` relative to the clean window's own largest bin."""
        return self.encode(clean, self.context(clean) if self.reference == "own" else context)

    def _expanded(self, encoded: Tensor, context: Context) -> Tensor:
        encoded = at_least_float32(encoded)
        if self.scaling == "power":
            floor = 1e-8**self._EXPONENT
            magnitude = encoded.clamp_min(floor).pow(1.0 / self._EXPONENT) * (encoded > floor)
        else:
            magnitude = torch.pow(10.0, encoded.clamp(max=60.0) / 20.0) * (encoded > -self.top_db)
        assert context.phase is not None
        return magnitude.squeeze(1) * context.phase
