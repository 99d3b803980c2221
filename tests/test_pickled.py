"""Pickled checkpoints: what was saved comes back bit by bit, and a hostile file neither runs nor costs anything."""

from __future__ import annotations

import argparse
import contextlib
import io
import pickle
import random
import resource
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulligan.core.errors import UserError
from mulligan.weights import guarded
from mulligan.weights.guarded import Tree, collect, read_pickle
from mulligan.weights.pickled_child import read
from mulligan.weights.pickled_tree import write
from mulligan.weights.pickled_values import Refused, Stub

from .hostile_pickles import HOSTILE, P, whole
from .official_pickles import (
    SOURCE,
    BaseConfig,
    EasyDict,
    Generator,
    Layer,
    Network,
    Persistent,
    Plain,
    foreign,
    pickled,
    saved,
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(data: bytes) -> Path:
        path = tmp_path / "network.pkl"
        path.write_bytes(data)
        return path

    return make


Make = Callable[[bytes], Path]


def top(tree: Tree) -> dict[Any, Any]:
    assert isinstance(tree, dict)
    return tree


def check(found: Tree, wanted: nn.Module) -> guarded.Module:
    """The same tensors under the same names in the same order, bit by bit."""
    module, state = collect(found), wanted.state_dict()
    assert list(module.tensors) == list(state)
    for name, tensor in state.items():
        assert module.tensors[name].dtype == tensor.dtype, name
        assert module.tensors[name].equal(tensor), name
    return module


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_checkpoint_of_nvidia_comes_back_and_its_program_is_not_run(protocol: int, file: Make, tmp_path: Path):
    torch.manual_seed(0)
    flag, named = tmp_path / "it-ran", {"c_dim": 0, "taps": [1, 3.5], "clamp": None, "kwargs": EasyDict(act="relu")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Persistent, "flag", str(flag))
        G, facts = Generator(8, **named), EasyDict(class_name="training.dataset", path="x.zip", use_labels=False)
        data = pickled(
            {"G": G, "D": Layer(1, 2), "G_ema": G, "training_set_kwargs": facts, "augment_pipe": None,
             "at": np.float32(0.5), "mean": np.arange(6.0).reshape(2, 3).T, "raw": b"\x00\xff"}, protocol,
        )  # fmt: skip
    tree = top(read_pickle(file(data)))
    module = check(tree["G"], G)
    assert (module.kind, module.args, module.kwargs) == ("Generator", [8], {**named, "kwargs": {"act": "relu"}})
    assert tree["G_ema"] is tree["G"]
    assert collect(tree["D"]).args == [1, 2]
    assert tree["training_set_kwargs"] == dict(facts)
    assert (tree["augment_pipe"], tree["at"], tree["raw"].tolist()) == (None, 0.5, [0, 255])
    assert tree["mean"].equal(torch.arange(6.0, dtype=torch.float64).reshape(2, 3).T)
    assert "module_src" not in repr(tree)
    read(memoryview(data))
    assert not {"torch_utils", "dnnlib", "training"} & sys.modules.keys(), "the file's modules were imported"
    assert not flag.exists(), "the file's program was run"
    with foreign():
        pickle.loads(data)
    assert flag.exists(), "the program was live"


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_checkpoint_of_r3gan_comes_back(protocol: int, file: Make):
    G = Plain()
    opt = torch.optim.Adam(G.parameters())
    for p in G.parameters():
        p.grad = torch.ones_like(p)
    opt.step()
    state = {"G": G, "G_ema": G, "cur_nimg": 25_000, "G_opt_state": opt.state_dict()}
    tree = top(read_pickle(file(pickled(state, protocol))))
    module = check(tree["G"], G)
    assert (module.kind, module.args, module.kwargs) == ("Plain", [], {})
    assert (tree["G"].module, tree["G"].state["DataType"], tree["cur_nimg"]) == (
        "R3GAN.Networks",
        "torch.bfloat16",
        25_000,
    )
    moments = tree["G_opt_state"]["state"][0]["exp_avg"]
    assert moments.equal(opt.state_dict()["state"][0]["exp_avg"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_what_torch_saves_comes_back_with_the_objects_among_it(zipped: bool, file: Make):
    config, net = BaseConfig(), Plain()
    config.__dict__ |= {
        "depth": 3,
        "alpha": 0.5,
        "sizes": [1, 2],
        "where": torch.device("cpu"),
        "shape": torch.Size([2]),
    }
    state = OrderedDict(net.state_dict())
    kinds = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    numbers = {kind: torch.tensor([0, 1, 3]).to(getattr(torch, kind)) for kind in kinds}
    row = torch.arange(12.0).view(3, 4)
    data = saved(
        {"config": config, "netG": state, "net": net, "views": [row[1:, ::2], row.t(), row], "kinds": numbers,
         "args": argparse.Namespace(a=1), "more": defaultdict(list, a=[1]), "set": {3}}, zipped,
    )  # fmt: skip
    tree = top(read_pickle(file(data)))
    assert tree["config"].name == "BaseConfig"
    assert tree["config"].state == {"depth": 3, "alpha": 0.5, "sizes": [1, 2], "where": "cpu", "shape": [2]}
    assert all(tree["netG"][name].equal(tensor) for name, tensor in state.items())
    check(tree["net"], net)
    for found, wanted in zip(tree["views"], (row[1:, ::2], row.t(), row)):
        assert found.equal(wanted)
    assert {kind: tensor.tolist() for kind, tensor in tree["kinds"].items()} == {
        k: t.tolist() for k, t in numbers.items()
    }
    assert all(tree["kinds"][kind].dtype == tensor.dtype for kind, tensor in numbers.items())
    assert (tree["args"].state, tree["more"], tree["set"]) == ({"a": 1}, {"a": [1]}, [3])


def test_networks_from_before_pytorch_come_back(file: Make, tmp_path: Path):
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    inner = Network(version=4, variables=[("w", np.asfortranarray(weight))], components=EasyDict())
    outer = Network(version=4, static_kwargs=EasyDict(size=4), variables=[], components=EasyDict(a=inner))
    outer.__dict__["build_module_src"] = SOURCE.format(flag=str(tmp_path / "it-ran"))
    tree = read_pickle(file(pickled((outer, outer, inner), 3)))
    assert isinstance(tree, list)
    first = tree[0]
    assert isinstance(first, Stub)
    assert first.state is not None
    assert first.state.keys() == {"version", "static_kwargs", "variables", "components"}
    assert first.state["components"]["a"] is tree[2]
    ((name, found),) = first.state["components"]["a"].state["variables"]
    assert name == "w"
    assert found.equal(torch.from_numpy(weight))
    assert not (tmp_path / "it-ran").exists()


def test_what_python_2_wrote_comes_back(file: Make):
    pairs = b"](](U\x01aK\x01e](U\x01bT\x02\x00\x00\x00\xe9xee"
    tree = read_pickle(file(b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R."))
    assert tree == {"a": 1, "b": "éx"}


def test_only_modules_are_collected(file: Make):
    tree = top(read_pickle(file(pickled({"a": [1], "n": argparse.Namespace(a=1)}))))
    for value in tree.values():
        with pytest.raises(UserError, match="is no pickled network"):
            collect(value)
    for state in ({"_parameters": {"w": 3}}, {"_parameters": [3]}, {"_parameters": {}, "_modules": {"x": 3}}):
        with pytest.raises(UserError, match="as a pickled network needs it"):
            collect(Stub("training.x", "G", state))


def children() -> int:
    """Bytes of the largest process that was started and has ended."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_runs_nothing_and_costs_little(name: str, file: Make, tmp_path: Path):
    made, message = HOSTILE[name]
    flag, before, start = tmp_path / "it-ran", children(), time.monotonic()
    path = file(made if isinstance(made, bytes) else made(flag))
    with pytest.raises(UserError) as refusal:
        read_pickle(path)
    said = str(refusal.value)
    assert message in said
    assert said.startswith(str(path))
    assert "no code in a file is ever executed" in said
    assert said.isprintable()
    assert len(said) < len(str(path)) + 400
    assert not flag.exists(), "the file ran code"
    assert time.monotonic() - start < 10
    assert children() in range(before, max(before + 1, 2 * 2**30))
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["os.system", "eval", "an old file", "inside of the bytes of a storage"])
def test_the_bombs_are_live(name: str, tmp_path: Path):
    """The test of the test above."""
    made = HOSTILE[name][0]
    assert callable(made)
    data = made(tmp_path / "it-ran")
    with contextlib.suppress(Exception):
        torch.load(io.BytesIO(data), weights_only=False) if name == "an old file" else pickle.loads(data)
    assert (tmp_path / "it-ran").exists()


def test_nothing_is_where_no_file_is(tmp_path: Path):
    for path in (tmp_path, tmp_path / "x.pkl"):
        with pytest.raises(UserError, match="isn't there: name a file of weights"):
            read_pickle(path)


MAIN = "c.main(*sys.argv[2:])"
# what the reader's process does in place of reading, and what is said of it
ENDS = {
    "killed": ("import os; os.kill(os.getpid(), 9)", "ended by signal 9, perhaps because memory ran out"),
    "crashes": ("1 / 0", "its reader failed (ZeroDivisionError: division by zero)"),
    "says nothing": ("raise SystemExit", "its reader failed"),
    "works for ever": ("c.SECONDS = 1\nc.limit(1)\nwhile True: pass", "it takes more than 8 s of work"),
    "takes all memory": (f"c.read = lambda data: bytearray(3 * 2**30)\n{MAIN}", "it takes too much memory to read"),
    "recurses": (f"f = lambda: f()\nc.read = lambda data: f()\n{MAIN}", "its reader failed (RecursionError"),
    "finds the disk full": (f"def f(*_): raise OSError(28, 'It is full')\nc.write = f\n{MAIN}", "(It is full): see"),
    "sleeps": ("import time; time.sleep(60)", "takes longer than 1 s to read"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_whatever_becomes_of_the_reader_is_told(name: str, file: Make, monkeypatch: pytest.MonkeyPatch):
    code, message = ENDS[name]
    start = "import sys; sys.path.insert(0, sys.argv[1]); import mulligan.weights.pickled_child as c\n"
    monkeypatch.setattr(guarded, "START", start + code)
    monkeypatch.setattr(guarded, "PATIENCE", 1 if name == "sleeps" else 60)
    path = file(P + b"N.")
    with pytest.raises(UserError) as refusal:
        read_pickle(path)
    assert str(refusal.value).startswith(str(path))
    assert message in str(refusal.value)


def test_the_reader_starts_without_torch():
    code = "import sys, mulligan.weights.pickled_child; print({'torch', 'numpy', 'pickle'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def small() -> list[bytes]:
    """Small good files of every layout."""
    torch.manual_seed(0)
    layer = Layer(1, 1)
    state = {"w": torch.ones(2, 3).t(), "b": torch.ones(2, dtype=torch.bool)}
    return [
        pickled({"G": layer, "a": np.arange(3.0), "s": np.float32(1)}), pickled({"G": nn.Linear(1, 2)}, 2),
        saved({"G": state, "n": argparse.Namespace(a=1)}, True), saved({"G": state}, False),
    ]  # fmt: skip


def taken(data: bytes) -> bool:
    """Whether the reader takes a file in, all the way to the numbers. Anything but Refused is an error."""
    try:
        write(read(memoryview(data)).tensors, io.BytesIO())
    except Refused:
        return False
    return True


def mutated(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """One to four flips, insertions, deletions, doublings or splices."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at, length = draw.randrange(len(made) + 1), draw.randint(1, 16)
        kind = draw.randrange(6)
        if kind == 0:
            made[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            made[at:at] = draw.randbytes(length)
        elif kind == 2:
            del made[at : at + length]
        elif kind == 3:
            made[at:at] = made[at : at + length] * draw.randint(1, 50)
        elif kind == 4:
            start = draw.randrange(len(other))
            made[at : at + length] = other[start : start + length]
        else:
            made[at : at + 4] = draw.choice([b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\xff" * 8, b"(((("])
    return bytes(made)


def test_no_mutation_of_a_good_file_does_more_than_be_refused():
    files, draw, start = small(), random.Random(0), time.process_time()
    assert all(map(taken, files))
    before, good = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for i in range(10_000):
        good += taken(mutated(files[i % 4], files[draw.randrange(4)], draw))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert 100 < good < 5000
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**26
    assert time.process_time() - start < 20


def test_archives_beyond_four_gigabytes_have_longer_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", -1)
    value = b"\x80\x02X\x02\x00\x00\x00hi."
    data = whole(value=value)
    assert data.count(b"PK\x06\x06") == data.count(b"PK\x06\x07") == 1
    long = data[:-14] + b"\xff" * 12 + data[-2:]
    for made in (data, long):
        assert read(memoryview(made)).nodes[-1] == ["list", "hi"]
        assert read(memoryview(made)).tensors == []
    for at in range(len(long)):
        assert isinstance(taken(long[:at] + bytes([long[at] ^ 0x40]) + long[at + 1 :]), bool)


def test_a_file_that_is_cut_anywhere_is_refused():
    for data in small():
        assert not any(taken(data[:end]) for end in range(len(data)))


def test_a_cut_file_is_told(file: Make):
    data = small()[0]
    for end in range(1, len(data), len(data) // 9):
        with pytest.raises(UserError, match="is damaged, or no file of weights"):
            read_pickle(file(data[:end]))


def test_numbers_are_not_copied_while_they_are_read():
    """A good file takes no more memory than its numbers."""
    whole = torch.zeros(2**22)
    data = pickled({"a": whole, "views": [whole[i:] for i in range(3)]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read(memoryview(data))
    assert len(found.tensors) == 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096
    del found


def test_every_number_is_finite_or_not_as_it_was(file: Make):
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    tree = top(read_pickle(file(pickled({"x": odd, "y": float("inf"), "z": 2**100, "k": {1: 3, None: 2}}))))
    found: Tensor = tree["x"]
    assert found.view(torch.int32).equal(odd.view(torch.int32))
    assert (tree["y"], tree["z"], tree["k"]) == (float("inf"), 2**100, {1: 3, None: 2})
