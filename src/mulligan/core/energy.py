"""What the machine's processors have used, from the counters that Linux shows."""

from __future__ import annotations

import re
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
ZONE = re.compile(r"intel-rapl:\d+")  # a zone at the top; those inside it (intel-rapl:0:1) are counted in it


class Energy:
    """Joules of all processor packages since construction, whatever ran on them; graphics cards are not in it.

    Reads RAPL's counters in Linux's powercap tree (Documentation/power/powercap), which most systems show to root only.
    They wrap around after some minutes to hours at full load, so `joules` has to be asked more often than that.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self.zones = packages(root)
        self.used = 0
        self.last = self._read()

    def joules(self) -> float | None:
        """Joules since construction; None where a counter can't be read."""
        now = self._read()
        if self.last is None or now is None:
            return None
        for zone, before, after in zip(self.zones, self.last, now, strict=True):
            if after < before:
                span = number(zone / "max_energy_range_uj")
                if not span:
                    self.last = None  # nobody knows how much went by: unknown from here on
                    return None
                after += span
            self.used += after - before
        self.last = now
        return self.used / 1e6

    def _read(self) -> list[int] | None:
        values = [number(zone / "energy_uj") for zone in self.zones]
        known = [value for value in values if value is not None]
        return known if known and len(known) == len(values) else None


def packages(root: Path) -> list[Path]:
    """The zones of whole packages; "psys" measures the platform with them in it and would count them twice."""
    try:
        zones = sorted(zone for zone in root.iterdir() if ZONE.fullmatch(zone.name))
        return [zone for zone in zones if (zone / "name").read_text(encoding="ascii").startswith("package")]
    except (OSError, ValueError):
        return []


def number(path: Path) -> int | None:
    """The whole number in a file; None where there is none to read."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
