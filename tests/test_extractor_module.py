"""A module of the user's as extractor: what it gives, what is refused, and which one a number came from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mulligan.core.errors import UserError
from mulligan.metrics.extractors import Extractor, suffix
from mulligan.metrics.module import module_extractor

CPU = torch.device("cpu")
NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, stride=2)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("rest", torch.zeros(2), persistent=False)

    def forward(self, x):
        assert x.dtype == torch.float32 and x.abs().max() <= 1
        return self.drop(self.conv(x))


def make():
    return Net()


def pair():
    class Pair(Net):
        def forward(self, x):
            features = self.conv(x)
            return features, features.mean((2, 3))

    return Pair()
"""


def write(folder: Path, text: str = NET) -> str:
    (folder / "net.py").write_text(text)
    return str(folder / "net.py")


def returning(folder: Path, expression: str) -> Extractor:
    """A module whose forward(x) returns this."""
    lines = "import torch\nfrom torch import nn\nclass Net(nn.Module):\n    calls = 0\n    def forward(self, x):\n"
    lines += f"        self.calls += 1\n        return {expression}\n"
    return module_extractor(write(folder, lines) + ":Net", CPU)


def pictures(n: int = 4, side: int = 9) -> Tensor:
    return torch.randint(0, 256, (n, 1, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("name", ["make", "Net", "pair"])
def test_features_are_those_of_the_module(name: str, tmp_path: Path):
    found = module_extractor(f"{write(tmp_path)}:{name}", CPU)
    x = pictures()
    features, logits = found(x)
    state = found.network.state_dict()
    expected = torch.nn.functional.conv2d(x.float() / 127.5 - 1, state["conv.weight"], state["conv.bias"], stride=2)
    torch.testing.assert_close(features, expected.flatten(1))
    assert not features.requires_grad
    torch.testing.assert_close(found.floats(x.double() / 127.5 - 1), features)
    if name == "pair":
        assert logits is not None
        torch.testing.assert_close(logits, expected.mean((2, 3)))
    else:
        assert logits is None
    assert (found.name, found.official) == (f"net.py:{name}", False)
    assert suffix(found) == f"_net.py:{name}@{found.sha256[:8]}"


def test_points_stay_as_they_are(tmp_path: Path):
    x = torch.randn(5, 2) * 100
    assert torch.equal(returning(tmp_path, "x.mul_(2)")(x)[0], x * 2)  # and what it writes stays its own


def test_another_size_may_have_other_features(tmp_path: Path):
    found = module_extractor(f"{write(tmp_path)}:make", CPU)
    assert [found(pictures(2, side))[0].shape[1] for side in (9, 13, 9)] == [48, 108, 48]


def test_the_checksum_is_that_of_code_and_weights(tmp_path: Path):
    spec = f"{write(tmp_path)}:make"
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = module_extractor(spec, CPU).sha256
    assert torch.equal(torch.random.get_rng_state(), state), "a run's draws must not know of it"
    torch.manual_seed(6)
    assert module_extractor(spec, CPU).sha256 == first, "random weights are the same each time"
    seen = {first}
    for old, new in (
        ("stride=2", "stride=1"),  # the same tensors
        ("return Net()", "net = Net(); nn.init.ones_(net.conv.bias); return net"),
        ("return Net()", "net = Net(); net.rest += 1; return net"),
        ("return Net()", "return Net().double()"),
    ):
        write(tmp_path, NET.replace(old, new))
        seen.add(module_extractor(spec, CPU).sha256)
    assert len(seen) == 5
    assert len(first) == 64


@pytest.mark.parametrize("name", ["conv.bias", "rest"])
def test_weights_from_a_file_beside_it_count(name: str, tmp_path: Path):
    weights = tmp_path / "weights.pt"
    line = f"net = Net(); net.{name}.data[0] = torch.load({str(weights)!r}, weights_only=True); return net"
    spec = write(tmp_path, NET.replace("return Net()", line)) + ":make"
    seen = []
    for value in (1.0, 2.0, 1.0):
        torch.save(torch.tensor(value), weights)
        seen.append(module_extractor(spec, CPU).sha256)
    assert seen[0] == seen[2] != seen[1]


def test_the_bytes_that_were_hashed_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec, read = f"{write(tmp_path)}:make", Path.read_bytes

    def swapping(path: Path) -> bytes:
        data = read(path)
        write(tmp_path, "raise SystemExit('the new file was run')")
        return data

    monkeypatch.setattr(Path, "read_bytes", swapping)
    module_extractor(spec, CPU)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gone.py:make", r"gone.py isn't there"),
        ("net.py:mak", r"no function or class 'mak', did you mean 'make'\?; it has: Net, make, pair"),
        ("net.py:torch", r"no function or class 'torch'"),
        ("net.py", r"which function or class .* net.py:make"),
        ("net.py:", r"which function or class .* net.py:make"),
        ("net.txt:make", r"is not a Python file"),
        ("net.pt", r"a pickled module is a program .* never loaded(?s:.*)weights_only=True"),
        ("net.pth:make", r"a pickled module is a program"),
    ],
)
def test_a_spec_that_is_wrong_is_told(spec: str, message: str, tmp_path: Path):
    write(tmp_path)
    with pytest.raises(UserError, match=message):
        module_extractor(str(tmp_path / spec), CPU)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make():\n    return 3", "makes a int, but must make a torch.nn.Module"),
        ("def make():\n    return\n  x", "net.py:make failed: line 3: IndentationError"),
        ("import nowhere_to_be_found", "failed: line 1: ModuleNotFoundError: No module named"),
        ("def make(size):\n    pass", "failed: TypeError: .*missing 1 required positional argument"),
        ("def make():\n    x = 1\n    return x / 0", "failed: line 3: ZeroDivisionError"),
        ("from mulligan.core.errors import UserError\nraise UserError('my own words')", "^my own words$"),
        ("make = 3", "no function or class 'make'; it has: none"),
    ],
)
def test_a_file_that_makes_no_module_is_told(text: str, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        module_extractor(write(tmp_path, text) + ":make", CPU)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("x.sum(0)", r"features of shape \(1, 9, 9\) for 4 pictures"),
        ("x.mean((1, 2, 3))", r"features of shape \(4,\) for 4 pictures"),
        ("x[:2]", r"features of shape \(2, 1, 9, 9\) for 4 pictures"),
        ("x / 0", "features that are not finite"),
        ("{'x': x}", "gives dict where features are due"),
        ("(x, x, x)", "gives tuple where features are due"),
        ("x.int()", "gives torch.int32 where features are due"),
        ("(x, x)", r"logits of shape \(4, 1, 9, 9\) instead of \(n, classes\)"),
        ("(x, x[:1, 0, 0])", r"logits of shape \(1, 9\) for 4 pictures"),
        ("x - x.mean(0)", "other features alone than among others"),
        ("torch.rand_like(x)", "draws random numbers"),
        ("x.flatten(1)[:, :self.calls]", "other features alone"),
        ("x @ x.new_zeros(3, 3)", r"failed on an input of shape \(4, 1, 9, 9\): RuntimeError"),
    ],
)
def test_an_answer_that_cannot_be_used_is_told(expression: str, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"net.py:Net .*" + message):
        returning(tmp_path, expression)(pictures())


def test_the_width_may_not_change(tmp_path: Path):
    found = returning(tmp_path, "x.flatten(1)[:, :8 + (self.calls > 2)]")
    assert found(pictures())[0].shape == (4, 8)
    with pytest.raises(UserError, match=r"gave \(8, None\) features and logits for such pictures, and now \(9, None\)"):
        found(pictures())


def test_a_first_batch_of_one_does_not_hide_batch_statistics(tmp_path: Path):
    found = returning(tmp_path, "x - x.mean(0)")
    found(pictures(1))
    with pytest.raises(UserError, match="other features alone"):
        found(pictures())
