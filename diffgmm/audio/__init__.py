"""Reading, resampling and writing of audio files without surprises.

Arrays are float32 of shape ``[channels, samples]`` in [-1, 1] throughout. Files keep what they came
with: format, subtype, rate, channel count and length. Everything a user can get wrong ends in an
:class:`AudioError`, one line that names the file.
"""

from diffgmm.audio.media import CONTAINERS, av_is_installed
from diffgmm.audio.reader import BLOCK, FORMATS, AudioInfo, is_audio, probe, read, read_blocks
from diffgmm.audio.signal import fit_length, resample, resampled_length
from diffgmm.audio.writer import Clip, Writer, choose_format, write
from diffgmm.utils.errors import AudioError

__all__ = [
    "BLOCK",
    "CONTAINERS",
    "FORMATS",
    "AudioError",
    "AudioInfo",
    "Clip",
    "Writer",
    "av_is_installed",
    "choose_format",
    "fit_length",
    "is_audio",
    "probe",
    "read",
    "read_blocks",
    "resample",
    "resampled_length",
    "write",
]
