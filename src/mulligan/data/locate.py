"""Where the files of a named set are, and how they get there."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mulligan.core.errors import UserError
from mulligan.data.pack import cache_root


def roots(root: str | Path | None, cache: str | Path | None) -> list[Path]:
    """The folders searched, in order; a given root is the only one."""
    if root is not None:
        return [Path(root).expanduser()]
    named = os.environ.get("MULLIGAN_DATA")
    first = [Path(named).expanduser()] if named else []
    return [*first, Path("data"), Path("../shared/data"), cache_root(cache) / "datasets"]


def find(places: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first file with one of the names in one of the folders."""
    return next((place / name for place in places for name in names if (place / name).is_file()), None)


def download(name: str, places: Sequence[Path], target: Path, fetch: Callable[[Path], None], advice: str = "") -> None:
    """Run `fetch(target)`, which uses torchvision. Raises UserError with the folders that were searched."""
    looked = "\n".join(f"  {place}" for place in places)
    where = f"The files of {name} are in none of these folders:\n{looked}\n{advice}"
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            f"{where}Put the official files into one of them, name the folder with --data-root or MULLIGAN_DATA, "
            'or let them be downloaded: pip install "mulligan[vision]"'
        ) from None
    try:
        target.mkdir(parents=True, exist_ok=True)
        fetch(target)
    except Exception as error:  # torchvision raises RuntimeError, URLError, OSError, ... depending on the mirror
        raise UserError(
            f"{where}Downloading them to {target} failed: {error}\n"
            "Try again later, or put the official files into one of the folders above."
        ) from error
