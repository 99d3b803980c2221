"""Imports only go down, heavy packages are loaded when they are used, and files stay small enough to read."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mulligan

ROOT = Path(mulligan.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LONGEST = 400

# who may import whom; a package may always import itself
ARROWS: dict[str, set[str]] = {
    "core": set(),
    "parts": {"core"},
    "nets": {"core", "parts"},
    "media": {"core"},
    "data": {"core", "media"},
    "metrics": {"core"},
    "doctor": {"core", "parts", "metrics", "media"},
    "strokes": {"core", "doctor", "job", "talk"},
    "weights": {"core", "parts", "nets", "experiment", "trust"},
    "zoo": {"core", "parts", "nets", "data", "media", "metrics", "doctor"},
    "assess": {"core", "data", "media", "metrics", "zoo", "experiment"},
    "edit": {"core", "parts", "media", "metrics", "experiment"},
    "export": {"core", "parts", "nets", "media", "weights", "experiment"},
    "augment": {"core", "data", "media", "metrics", "zoo", "assess", "experiment", "verbs"},
}
TOP = {"cli", "commands"}  # imported by nobody but `python -m mulligan`, and commands by cli
LATE = {
    "torchvision",
    "tensorboard",
    "matplotlib",
    "sklearn",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "av",
    "safetensors",
    "torch_fidelity",
}


def package(path: Path) -> str:
    """core, parts, …; or the name of a module at the top, such as verbs."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported(path: Path, source: str) -> set[str]:
    """Packages and top modules of ours that a file imports, anywhere in it, also for types."""
    found: set[str] = set()
    inside = ["mulligan", *path.relative_to(ROOT).with_suffix("").parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) - node.level]) + "." if node.level else ""
            module = (base + (node.module or "")).rstrip(".")
            found |= {f"{module}.{name.name}" for name in node.names}
    ours = [name.split(".") for name in found if name.split(".")[0] == "mulligan"]
    return {name[1] for name in ours if len(name) > 1 and not name[1].startswith("__")}


def upward(path: Path, source: str) -> set[str]:
    """What a file imports against the arrows."""
    here, names = package(path), imported(path, source)
    if here in ARROWS:
        return names - ARROWS[here] - {here}
    allowed = {"__main__": TOP, "cli": {"commands"}, "commands": set()}.get(here, set())
    return names & TOP - {here} - allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_only_go_down(path: Path):
    assert upward(path, path.read_text(encoding="utf-8")) == set()


def test_every_package_has_its_place():
    packages = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert packages <= ARROWS.keys() | {"commands"}, "say in ARROWS what a new package may import"
    assert {"core", "parts", "nets", "media", "data", "zoo"} <= packages


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("core/x.py", "from mulligan.parts.augment import cutout", "parts"),
        ("core/x.py", "from ..zoo import find", "zoo"),
        ("core/x.py", "from .. import data", "data"),
        ("parts/x.py", "import mulligan.nets.mlp", "nets"),
        ("parts/x.py", "def f():\n    from mulligan.verbs import train", "verbs"),
        ("media/x.py", "from ..data import open_source", "data"),
        ("zoo/image/x.py", "from ...verbs import train", "verbs"),
        ("verbs.py", "from .cli import main", "cli"),
    ],
)
def test_an_arrow_up_is_seen(file: str, line: str, found: str):
    assert upward(ROOT / file, line) == {found}


@pytest.mark.parametrize("line", ["from .engine import Engine", "from mulligan.core import run", "import torch"])
def test_an_arrow_down_is_allowed(line: str):
    assert upward(ROOT / "core" / "x.py", line) == set()


def at_module_level(source: str) -> set[str]:
    """First names of the modules that are imported as soon as the file is."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
        lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typing = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        if not (lazy or typing):
            todo += ast.iter_child_nodes(node)
    return found


def test_heavy_packages_are_imported_where_they_are_used():
    found = {str(path.relative_to(ROOT)): at_module_level(path.read_text(encoding="utf-8")) & LATE for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
    assert at_module_level("class A:\n    import sklearn.datasets") == {"sklearn"}
    assert at_module_level("def f():\n    import sklearn\nif TYPE_CHECKING:\n    import matplotlib") == set()


def test_files_are_small_enough_to_read():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


@pytest.mark.parametrize(
    "code", ["import mulligan", "import mulligan.cli", "from mulligan.cli import main; main(['--help'])"]
)
def test_torch_is_loaded_only_when_it_is_needed(code: str):
    """Help must not take seconds, and neither must completing a name in a shell."""
    check = "import sys; print(sorted({'torch', 'numpy', 'PIL', 'matplotlib', 'sklearn'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
