"""What extractors have seen of real data, kept in the cache and never used for other data or another extractor."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..core.checkpoints import file_digest, write_whole
from ..core.run import warn
from ..data.pack import cache_root
from ..metrics.bank import Bank
from ..metrics.extractors import Extractor
from ..metrics.gaussian import Gaussian
from ..metrics.seen import Seen

VERSION = 1
FACTS, FEATURES, LOGITS, LABELS, SUMS = "facts.json", "features.f32", "logits.f32", "labels.i64", "sums.f64"


def key_of(fingerprint: str, count: int, extractor: Extractor) -> dict[str, Any]:
    """All that decides what is seen: the data's contents, how many, the extractor's weights, its preprocessing."""
    return {
        "version": VERSION, "fingerprint": fingerprint, "count": count,
        "extractor": extractor.name, "sha256": extractor.sha256, "preprocessing": extractor.preprocessing,
    }  # fmt: skip


def folder_of(name: str, key: dict[str, Any], cache: str | Path | None) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    clean = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:40]
    return cache_root(cache) / "statistics" / f"{clean}-{digest}"


def recalled(folder: Path, key: dict[str, Any]) -> Seen | None:
    """What is kept for this key; None where there is nothing, or nothing whole."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    try:
        if facts["key"] != key:
            raise ValueError("it belongs to other data")
        for file, digest in facts["files"].items():
            if file_digest(folder / file) != digest:
                raise ValueError(f"{file} is damaged")
        count, width, classes = facts["count"], facts["width"], facts["classes"]
        logits = Bank((classes,), path=folder / LOGITS) if classes else None
        labels = Bank((), torch.int64, folder / LABELS)[torch.arange(count)] if LABELS in facts["files"] else None
        seen = Seen(Bank((width,), path=folder / FEATURES), logits, labels)
        seen.remember(_sums(folder, count, width))
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"the statistics of real data in {folder} can't be used ({error}): they are worked out again")
        return None
    return seen


def keep(folder: Path, key: dict[str, Any], seen: Seen) -> None:
    """Write it beside, and give it its name at the end; a refusing disk is a warning."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        files = {name: _written(temporary / name, save) for name, save in _parts(seen).items()}
        facts = {
            "key": key, "files": files, "count": len(seen), "width": seen.width,
            "classes": 0 if seen.logits is None else int(seen.logits.shape[1]),
        }  # fmt: skip
        write_whole(temporary / FACTS, json.dumps(facts, indent=2) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary)
        if not folder.exists():  # else another process was quicker
            warn(f"the statistics of real data can't be kept in {folder} ({error.strerror or error})")


def _parts(seen: Seen) -> dict[str, Callable[[Path], None]]:
    def rows(source: Any, dtype: torch.dtype) -> Callable[[Path], None]:
        def save(path: Path) -> None:
            bank = Bank(tuple(source.shape[1:]), dtype, path)
            for part in source.split(8192):
                bank.add(part)
            bank.flush()

        return save

    gaussian = seen.gaussian()
    sums = torch.cat([gaussian.mean[None], gaussian.scatter])
    parts = {FEATURES: rows(seen.features, torch.float32), SUMS: rows(sums, torch.float64)}
    if seen.logits is not None:
        parts[LOGITS] = rows(seen.logits, torch.float32)
    if seen.labels is not None:
        parts[LABELS] = rows(seen.labels, torch.int64)
    return parts


def _written(path: Path, save: Callable[[Path], None]) -> str:
    save(path)
    return file_digest(path)


def _sums(folder: Path, count: int, width: int) -> Gaussian:
    rows = Bank((width,), torch.float64, folder / SUMS)[torch.arange(width + 1)]
    found = Gaussian()
    found.count, found.mean, found.scatter = count, rows[0].clone(), rows[1:].clone()
    return found
