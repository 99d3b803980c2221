"""The protocol of a score: all that must be the same for two numbers to be comparable."""

from __future__ import annotations

import platform
from typing import Any

import torch

from .. import __version__
from ..metrics.case import Metric
from ..metrics.extractors import Named
from .how import How
from .panel import Panel
from .sides import Sides


def facts(both: Sides, panel: Panel, how: How, count: int, floor: str) -> dict[str, Any]:
    """What all metrics of one evaluation share."""
    source, shape = panel.source, panel.source.shape
    pictures = len(shape) == 3
    real = panel.real
    return {
        "extractor": panel.extractor.name, "extractor_sha256": panel.extractor.sha256,
        "preprocessing": panel.extractor.preprocessing,
        "real": both.real_name, "fingerprint": source.fingerprint, "split": both.split,
        "real_count": len(real) if real is not None else 0,
        "held_out": len(panel.held) if panel.held is not None else 0,
        "fake": "run" if both.run is not None else "folder", "fake_count": count,
        "size": "x".join(str(side) for side in shape[1:][::-1]) if pictures else f"{shape[0]} numbers",
        "channels": shape[0] if pictures else 0,
        "resize": "centre crop, Lanczos down, bicubic up" if both.resized else "none", "bits": 8 if pictures else 32,
        "labels": both.label_law(), "truncation": both.truncation,
        "weights": both.weights.get("weights", ""), "checkpoint": both.weights.get("checkpoint", ""),
        "seed": how.seed, "repeats": how.repeats, "floor": floor,
        "precision": "fp32", "device": panel.engine.device.type,
        "versions": {"mulligan": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }  # fmt: skip


def of(shared: dict[str, Any], metric: Metric, eyes: Named | None) -> dict[str, Any]:
    """The protocol of one metric: with its settings, and whose eyes it took."""
    name, sha256, words = ("", "", "") if eyes is None else (eyes.name, eyes.sha256, eyes.preprocessing)
    own = {"extractor": name, "extractor_sha256": sha256, "preprocessing": words, "settings": metric.settings}
    return {**shared, **own}


def lines(protocol: dict[str, Any]) -> list[str]:
    """The protocol in words, for a person."""
    p = protocol
    weights = f", {p['weights']} weights of {p['checkpoint']}" if p["weights"] else ""
    truncation = "" if p["truncation"] == 1 else f", truncation {p['truncation']}"
    found = [
        f"samples    {p['fake_count']:,} from a {p['fake']}{weights}{truncation}, {p['size']}, resize: {p['resize']}",
        f"real       {p['real']} ({p['split']}): {p['real_count']:,}, fingerprint {p['fingerprint'][:12]}",
        f"floor      {p['floor']}",
        f"repeats    {p['repeats']}, seed {p['seed']}, {p['device']}, {p['precision']}, "
        + ", ".join(f"{name} {version}" for name, version in p["versions"].items()),
    ]
    if p["extractor"]:
        found.insert(0, f"extractor  {p['extractor']}, SHA-256 {p['extractor_sha256']}: {p['preprocessing']}")
    return found
