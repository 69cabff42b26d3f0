"""Interruption of long work between two steps, so that nothing is left half-written."""

from __future__ import annotations

import signal
import types
from typing import Any


class Interrupts:
    """Context in which Ctrl-C, SIGTERM and SIGHUP take effect at the next :meth:`check`, and a second one at once.

    An exception that a signal raises wherever the program happens to be can get lost (a library's bare
    ``except``) or strike between creating a file and the code that would remove it.

    Args:
        at_once: they end the block wherever it is, with helpers stopped and files closed.
    """

    def __init__(self, at_once: bool = False) -> None:
        self._at_once = at_once
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """Raise ``KeyboardInterrupt``, or ``SystemExit`` (143 after SIGTERM, 129 after SIGHUP), if one was received."""
        if self._received in (signal.SIGTERM, signal.SIGHUP):
            raise SystemExit(128 + self._received)
        if self._received is not None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        again, self._received = self._received is not None, number
        if again or self._at_once:
            self.check()

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started by nohup, to outlive the terminal
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread: whoever called us deals with signals
                break
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
