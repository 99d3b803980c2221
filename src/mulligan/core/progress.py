"""A progress bar on a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from .clock import Clock
from .energy import Energy


class Numbers(Protocol):
    def row(self) -> dict[str, float]: ...


class Progress:
    """Images/s, time left, losses, D(x) and D(G(z)) on stderr; silent on ranks above 0."""

    def __init__(self, clock: Clock, show: bool = True) -> None:
        self.clock, self.show = clock, show
        self.started, self.first = time.monotonic(), clock.images
        self.terminal = sys.stderr.isatty()
        self.pause = 0.2 if self.terminal else 10.0
        self.next = self.started + self.pause
        self.bar: Any = None
        self.energy = Energy()

    def __enter__(self) -> Progress:
        if self.show and self.terminal:
            from tqdm import tqdm

            self.bar = tqdm(
                total=self.clock.budget,
                initial=self.first,
                unit="img",
                unit_scale=True,
                dynamic_ncols=True,
                mininterval=0,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.n = min(self.clock.images, self.clock.budget)
            self.bar.refresh()
            self.bar.close()

    def rates(self) -> dict[str, float]:
        """Seconds since the start of this process's part of the run, images per second over it, and the machine's
        energy where it can be read."""
        joules, seconds = self.energy.joules(), time.monotonic() - self.started
        return {
            "seconds": round(seconds, 3),
            "images_per_second": round((self.clock.images - self.first) / max(seconds, 1e-9), 1),
            **({} if joules is None else {"joules": round(joules, 1)}),
        }

    def update(self, numbers: Numbers, word: str = "") -> None:
        """Show the numbers, and in a word how the run is; nothing where the last time is less than `pause` ago."""
        now = time.monotonic()
        if not self.show or now < self.next:
            return
        self.next = now + self.pause
        text = " · ".join(part for part in (word, brief(numbers.row())) if part)
        if self.bar is not None:
            self.bar.n = min(self.clock.images, self.clock.budget)
            self.bar.set_postfix_str(text, refresh=True)
        else:
            rate = self.rates()["images_per_second"]
            left = (self.clock.budget - self.clock.images) / max(rate, 1e-9)
            print(
                f"{self.clock.images:,}/{self.clock.budget:,} images, {rate:,.0f}/s, {duration(left)} left, {text}",
                file=sys.stderr,
                flush=True,
            )


def brief(row: dict[str, float]) -> str:
    names = [(k, k.replace("loss_", "")) for k in row if k.startswith("loss_")] + [
        ("D(x)", "D(x)"),
        ("D(G(z))", "D(G(z))"),
    ]
    return " ".join(f"{short} {row[name]:.3g}" for name, short in names if name in row)


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    whole = int(max(seconds, 0))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
