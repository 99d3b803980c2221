"""SIGINT and SIGTERM ask a run to stop at the end of its round; a second one leaves at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

ECHO = 1.0  # seconds: after Ctrl-C the terminal signals every process, and torchrun passes its own signal on to them


class StopRequest:
    """Context in which a first signal sets `number`; handlers are restored on leaving."""

    SIGNALS = ("SIGINT", "SIGTERM")

    def __init__(self) -> None:
        self.number, self.since = 0, 0.0
        self.echo = ECHO if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for name in self.SIGNALS:
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._handle)
        return self

    def heed(self) -> None:
        """Another process was asked to stop: this one's own signal may be still on its way."""
        self.since = self.since or time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self.since:  # what comes late would find the old handler and kill the process before its last words
            time.sleep(max(self.since + self.echo - time.monotonic(), 0.0))
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            if time.monotonic() - self.since >= self.echo:
                os._exit(128 + number)
            return
        self.number, self.since = number, time.monotonic()
        name = signal.Signals(number).name
        print(f"\n{name}: finishing this round and saving; once more leaves at once", file=sys.stderr, flush=True)
