"""Run folders of strangers: nothing in them is ever executed, and nothing in the package could execute it."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mulligan
from mulligan import job, load, verbs
from mulligan.core.checkpoints import Checkpoints, file_digest
from mulligan.core.errors import UserError

from . import helpers

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")
SMALL: dict[str, Any] = {"mlp": {"widths": (6,)}, "latent": 4, "batch": 8, "device": "cpu", "images": 24}
NEWEST = "round-000000003.pt"


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.flag}'",)


class Evaluated(Bomb):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.flag)!r}, 'w')",)


class Nested(Bomb):
    """A pickle inside the bytes of a storage, which torch's own loader of storages would open."""

    def __reduce__(self) -> tuple[Any, ...]:
        inner = io.BytesIO()
        torch.save(Bomb(self.flag), inner)
        return torch.storage._load_from_bytes, (inner.getvalue(),)


def bare(state: dict[str, Any], bomb: Bomb, path: Path) -> None:
    torch.save(bomb, path)


def inside(state: dict[str, Any], bomb: Bomb, path: Path) -> None:
    torch.save(state | {"average": state["average"] | {"extra": [bomb]}}, path)


def plain_pickle(state: dict[str, Any], bomb: Bomb, path: Path) -> None:
    path.write_bytes(pickle.dumps({"round": 3, "bomb": bomb}))


def old_format(state: dict[str, Any], bomb: Bomb, path: Path) -> None:
    torch.save(state | {"bomb": bomb}, path, _use_new_zipfile_serialization=False)


def second_member(state: dict[str, Any], bomb: Bomb, path: Path) -> None:
    """A good archive whose pickle is replaced by a bad one."""
    torch.save(state, path)
    whole = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, pickle.dumps(bomb) if name.endswith("data.pkl") else whole.read(name))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        verbs.train("gan", pictures, out=run, checkpoint_every=1, **SMALL)
    return run


@pytest.mark.parametrize("bomb", [Bomb, Evaluated, Nested])
@pytest.mark.parametrize("pack", [bare, inside, plain_pickle, old_format, second_member])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused(
    bomb: type[Bomb], pack: Callable[..., None], indexed: bool, finished: Path, tmp_path: Path, pictures: Path
):
    run, flag = Path(shutil.copytree(finished, tmp_path / "run")), tmp_path / "it-ran"
    state, index = helpers.newest(run), run / "checkpoints" / "index.jsonl"
    index.unlink()
    for path in Checkpoints(run / "checkpoints").newest_first():
        pack(state, bomb(flag), path)
        if indexed:  # its maker knows how to write digests too
            with index.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"file": path.name, "sha256": file_digest(path)}) + "\n")
    (run / "sampler.safetensors").unlink()
    before = helpers.tree_hash(run)
    for use in (lambda: verbs.train("gan", pictures, out=run, **SMALL), lambda: load(run, "cpu").sample(1)):
        with pytest.raises(UserError, match=r"all 2 checkpoints .* are damaged"):
            use()
    assert not flag.exists(), "the checkpoint ran code"
    assert helpers.tree_hash(run) == before


@pytest.mark.parametrize("bomb", [Bomb, Evaluated, Nested])
def test_the_bombs_are_live(bomb: type[Bomb], tmp_path: Path):
    """The test of the test above: whoever loads them without care runs their code."""
    bare({}, bomb(tmp_path / "it-ran"), tmp_path / "x.pt")
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state["game"].update(extra=torch.zeros(1)),
        lambda state: state["game"].pop(next(iter(state["game"]))),
        lambda state: state["game"].update({next(iter(state["game"])): torch.zeros(1, 2, 3)}),
        lambda state: state.pop("optimizers"),
        lambda state: state.update(round="three"),
    ],
)
def test_a_whole_checkpoint_of_another_shape_is_not_half_loaded(
    spoil: Callable[[dict[str, Any]], Any], finished: Path, tmp_path: Path, pictures: Path
):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    state = helpers.newest(run)
    spoil(state)
    for path in Checkpoints(run / "checkpoints").newest_first():
        path.unlink()
    torch.save(state, run / "checkpoints" / NEWEST)
    (run / "checkpoints" / "index.jsonl").unlink()
    with pytest.raises(UserError, match="does not fit"):
        verbs.train("gan", pictures, out=run, **SMALL)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"arguments": 3}', '{"format": 99, "arguments": {}}', "\x00\xff"])
def test_a_recipe_json_of_anything_else_is_told(text: str, finished: Path, tmp_path: Path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (run / "recipe.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"can't be read|newer Mulligan"):
        load(run)


FORBIDDEN = {"eval", "exec", "compile", "__import__", "extractall", "system", "popen"}
LOADERS = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("yaml", "load"),
    ("marshal", "loads"),
    ("shelve", "open"),
    ("joblib", "load"),
}


def calls_that_run_code(source: str) -> list[str]:
    """Calls in a module that could execute what a file says."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "shell" and not _is(node.value, False):
            found.append(f"line {node.value.lineno}: shell=")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not _is(node.value, False):
            found.append(f"line {node.value.lineno}: allow_pickle=")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [
                f"line {node.lineno}: imports {n}" for n in names if n.split(".")[0] in ("pickle", "dill", "yaml")
            ]
        if isinstance(node, ast.Call):
            name, owner = _name(node.func)
            bare_name = owner == "" or name in ("extractall", "system", "popen")
            if (name in FORBIDDEN and bare_name) or (owner, name) in LOADERS:
                found.append(f"line {node.lineno}: {owner}.{name}")
            if (
                name == "load"
                and owner == "torch"
                and not any(k.arg == "weights_only" and _is(k.value, True) for k in node.keywords)
            ):
                found.append(f"line {node.lineno}: torch.load without weights_only=True")
    return found


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _name(function: ast.expr) -> tuple[str, str]:
    if isinstance(function, ast.Name):
        return function.id, ""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return function.attr, owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(
            owner, ast.Attribute
        ) else "?"
    return "", ""


SOURCES = sorted(Path(mulligan.__file__).parent.rglob("*.py"))


def test_nothing_in_the_package_executes_what_it_reads():
    """The one exception is a recipe file of the user's own, run by the import system: see test_own_recipe."""
    found = {str(path): calls_that_run_code(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(found) > 50
    assert {path: calls for path, calls in found.items() if calls} == {}
    executed = [path.name for path in SOURCES if "exec_module" in path.read_text(encoding="utf-8")]
    assert executed == ["recipe.py"]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(f)", "torch.load(f, weights_only=False)", "torch.load(f, weights_only=maybe)", "import pickle",
        "from pickle import loads", "yaml.load(f)", "import yaml", "eval('1')", "exec(code)", "compile(s, p, 'exec')",
        "subprocess.run(c, shell=True)", "archive.extractall()", "os.system('x')", "np.load(f, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_search_finds_such_calls(source: str):
    assert calls_that_run_code(source)
    assert not calls_that_run_code("torch.load(f, weights_only=True); model.eval(); np.load(f, allow_pickle=False)")
