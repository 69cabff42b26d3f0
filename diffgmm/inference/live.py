"""Sound from a microphone, denoised as it arrives, to a loudspeaker or into a file.

Example:
    >>> from diffgmm.inference.live import Live
    >>> with Live(denoiser, output="headphones") as live:  # doctest: +SKIP
    ...     while live.pass_block():
    ...         pass
"""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffgmm.audio import Writer
from diffgmm.audio.signal import Fifo
from diffgmm.inference.streaming import STEP_SECONDS, StreamingDenoiser
from diffgmm.utils.errors import UserError, one_line

if TYPE_CHECKING:
    from typing_extensions import Self

    from diffgmm.inference.denoiser import Denoiser

BLOCK_SECONDS = 0.02
SLACK_SECONDS = 1.5 * STEP_SECONDS
"""Of sound that the loudspeaker has in store: the model computes once a step, for nearly so long at most."""
MOST_SECONDS = 1.0
"""Of sound that may wait to be computed or played; then the oldest is dropped, so that the latency stays."""
_SILENT_SECONDS = 10.0  # without a block: the device is gone


def devices() -> str:
    """A table of what records and plays, the defaults marked ``>`` and ``<``.

    Raises:
        UserError: PortAudio is not installed.
    """
    return str(_sounddevice().query_devices()) or "no sound devices"


class Live:
    """What is heard goes through the model and out again; a context, in which :meth:`pass_block` is called for ever.

    Args:
        denoiser: the model.
        source: of PortAudio's devices, the number or a part of the name; ``None`` for the default.
        output: likewise; ``None`` for the default. Not opened if there is a ``file``.
        file: write there instead; as long as what was heard, and in step with it.
        sample_rate: Hz; ``None`` for what the source likes.
        channels: of the source, each denoised by itself.
        strength: 0 changes nothing, 1 is the model's result.
        overwrite: replace an existing ``file``.

    Attributes:
        latency: seconds from the microphone to the loudspeaker, of the model and the devices together.
        heard: seconds that came in.
        late: times that sound was lost, or silence was played, for the computing took too long.

    Raises:
        UserError: PortAudio is not installed, has no such device, or can't start it.
        AudioError: the file can't be written.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        source: int | str | None = None,
        output: int | str | None = None,
        file: Path | None = None,
        sample_rate: int | None = None,
        channels: int = 1,
        strength: float = 1.0,
        overwrite: bool = False,
    ) -> None:
        sounddevice = _sounddevice()
        self._resources = ExitStack()
        self.heard, self.late = 0.0, 0
        try:
            rate = sample_rate or round(sounddevice.query_devices(source, "input")["default_samplerate"])
            self._stream = StreamingDenoiser(denoiser, rate, channels, strength=strength)
            self._rate, self._skip = rate, self._stream.latency
            options: dict[str, Any] = {"samplerate": rate, "channels": channels, "dtype": "float32"}
            self._waiting: queue.Queue[np.ndarray] = queue.Queue(round(MOST_SECONDS / BLOCK_SECONDS))
            hearing: dict[str, Any] = {"device": source, "blocksize": round(BLOCK_SECONDS * rate)}
            self._in = sounddevice.InputStream(callback=self._listen, **hearing, **options)
            self._resources.callback(self._in.close)
            self._played, self._lock = Fifo(channels), threading.Lock()
            self._played.push(np.zeros((channels, round(SLACK_SECONDS * rate)), np.float32))
            self._out: Any = None
            self._writer: Writer | None = None
            self.latency = self._stream.latency / rate + self._in.latency
            if file is None:
                self._out = sounddevice.OutputStream(device=output, callback=self._play, **options)
                self._resources.callback(self._out.close)
                self.latency += self._out.latency + SLACK_SECONDS
            else:
                self._writer = Writer(file, rate, channels, overwrite=overwrite)
                self._resources.callback(self._writer.abort)  # nothing is left to drop once it is closed
        except (ValueError, sounddevice.PortAudioError) as error:
            self._resources.close()
            if isinstance(error, UserError):
                raise
            raise UserError(f"{one_line(error)}; --list shows the devices") from error

    def _listen(self, block: np.ndarray, frames: int, time: Any, status: Any) -> None:
        """Called by PortAudio, in a thread of its own."""
        self.late += bool(status.input_overflow)
        try:
            self._waiting.put_nowait(block.T.copy())
        except queue.Full:
            self.late += 1

    def _play(self, block: np.ndarray, frames: int, time: Any, status: Any) -> None:
        """Called by PortAudio, in a thread of its own."""
        with self._lock:
            start, end = self._played.start, min(self._played.start + frames, self._played.end)
            x = self._played.view(start, end).T
            self._played.forget(end)
        block[: len(x)], block[len(x) :] = x, 0.0
        self.late += bool(len(x) < frames or status.output_underflow)

    def pass_block(self) -> bool:
        """Hear one block and hand it on; always true.

        Raises:
            UserError: no sound arrives.
            AudioError: the file can't be written.
        """
        try:
            block = self._waiting.get(timeout=_SILENT_SECONDS)
        except queue.Empty as error:
            raise UserError("the input gives no sound; --list shows the devices") from error
        self.heard += block.shape[1] / self._rate
        self._hand_on(self._stream.process(block))
        return True

    def _hand_on(self, y: np.ndarray) -> None:
        if self._writer is not None:
            dropped = min(self._skip, y.shape[1])
            self._skip -= dropped
            self._writer.write(y[:, dropped:])
            return
        with self._lock:
            self._played.push(np.clip(y, -1.0, 1.0))
            self._played.forget(self._played.end - round((SLACK_SECONDS + MOST_SECONDS) * self._rate))

    def __enter__(self) -> Self:
        try:
            self._in.start()
            if self._out is not None:
                self._out.start()
        except _sounddevice().PortAudioError as error:
            self._resources.close()
            why = f"a device does not start: {one_line(error)}"
            raise UserError(f"{why}; try again, or choose another") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop; what was heard is written to its end, after an interrupt, too."""
        with self._resources:
            self._in.stop()
            if self._writer is None or (kind is not None and issubclass(kind, Exception)):
                return
            while not self._waiting.empty():
                self.pass_block()
            self._hand_on(self._stream.flush())
            self._writer.close()


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise UserError("live sound needs sounddevice: pip install 'diffgmm[live]'") from error
    except OSError as error:
        raise UserError("live sound needs PortAudio (on Debian: apt install libportaudio2)") from error
    return sounddevice
