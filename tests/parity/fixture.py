"""One fixture file: official weights, inputs and results as plain arrays."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"


class Unusable(Exception):
    """The file can't be checked: missing, broken, or of a project without an adapter yet."""


class Fixture:
    """config and meta as dicts, arrays by their key in the file: f["in/x"], tensors in the file's dtype."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise Unusable(f"{path}: no such file")
        if not zipfile.is_zipfile(path):
            raise Unusable(f"{path}: broken, not an .npz archive")
        try:
            with np.load(path, allow_pickle=False) as file:
                self.arrays: dict[str, np.ndarray] = {key: file[key] for key in file.files}
            self.config: dict[str, Any] = json.loads(str(self.arrays.pop("config_json")))
            self.meta: dict[str, Any] = json.loads(str(self.arrays.pop("meta_json")))
            self.rtol, self.project, self.cls = float(self.meta["rtol"]), self.meta["project"], self.meta["cls"]
        except KeyError as error:
            raise Unusable(f"{path}: not a parity fixture, it has no {error.args[0]!r}") from error
        except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise Unusable(f"{path}: unreadable: {error}") from error

    def __getitem__(self, key: str) -> Tensor:
        if key not in self.arrays:
            raise Unusable(f"{self.path}: broken, it lacks {key!r}")
        return torch.from_numpy(np.array(self.arrays[key]))

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The entries whose key begins with the prefix, under the rest of their key, in the file's order."""
        return {key[len(prefix) :]: self[key] for key in self.arrays if key.startswith(prefix)}

    def setting(self, *path: str) -> Any:
        """An entry of config_json; Unusable where it has none."""
        value: Any = self.config
        for key in path:
            if not isinstance(value, dict) or key not in value:
                raise Unusable(f"{self.path}: broken, its configuration lacks {'.'.join(path)}")
            value = value[key]
        return value

    @property
    def expected(self) -> list[str]:
        return [key for key in self.arrays if key.split("/")[0] in ("out", "loss", "grad", "after", "mid")]


def fixture(name: str) -> Fixture:
    """A fixture beside this checkout; a test without it is left out."""
    import pytest

    path = PARITY / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the parity fixture {path.name} is not beside this checkout")
    return Fixture(path)
