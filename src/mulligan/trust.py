"""A run names its recipe. A recipe file is a program, so only files that this user has trained with are run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from .core.checkpoints import write_whole
from .core.errors import UserError
from .core.recipe import Recipe, from_file
from .zoo import find


def find_trusted(spec: str, sha256: str) -> Recipe:
    """The recipe of a run folder.

    Raises UserError for a recipe file that is gone, has changed, or was never trained by this user: a run folder from
    elsewhere must not be able to start a program.
    """
    if ":" not in spec:
        return find(spec)
    path = Path(spec.rpartition(":")[0])
    if not path.is_file():
        raise UserError(f"the run was trained with {spec}, which isn't there: put the file back")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path} has changed since the run was trained (SHA-256 {found[:12]}… instead of {sha256[:12]}…): "
            "put the old version back"
        )
    if found not in known():
        raise UserError(
            f"the run wants to execute {path}, which was never trained with by this user. Read the file; if it is "
            f"good, allow it with: mulligan trust {path}"
        )
    return from_file(spec, data)  # the bytes that were hashed, not what the file may hold by now


def book() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "mulligan" / "trusted-recipes.json"


def known() -> dict[str, str]:
    try:
        found = json.loads(book().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def trust(sha256: str, path: str) -> None:
    """Remember that this user runs this version of a recipe file."""
    entries = known()
    if entries.get(sha256) != path:
        try:
            book().parent.mkdir(parents=True, exist_ok=True)
            write_whole(book(), json.dumps({**entries, sha256: path}, indent=2) + "\n")
        except OSError:
            pass  # a home that can't be written only costs the question next time
