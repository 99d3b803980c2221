"""LPIPS against the paper's formula written out again, torchvision's layout, and files that don't fit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mulligan.core.errors import UserError
from mulligan.metrics import lpips as lpips_file
from mulligan.metrics.lpips import SMALLEST, TRUNKS, Lpips, Net, Trunk, find_trunk, lpips
from mulligan.metrics.path import path_lengths

CPU = torch.device("cpu")
HEADS = Path(__file__).resolve().parents[2] / "shared" / "weights" / "lpips_lin"
NETS: tuple[Net, ...] = get_args(Net)
needs_heads = pytest.mark.skipif(not HEADS.is_dir(), reason="the heads of LPIPS are not in ../shared/weights/lpips_lin")
each_net = pytest.mark.parametrize("net", NETS)

# (index in `features`, channels in, channels out, kernel), from the papers; pooling and ReLU have no parameters
CONVOLUTIONS: dict[Net, list[tuple[int, int, int, int]]] = {
    "alex": [(0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3)],
    "vgg": [
        (0, 3, 64, 3), (2, 64, 64, 3), (5, 64, 128, 3), (7, 128, 128, 3), (10, 128, 256, 3), (12, 256, 256, 3),
        (14, 256, 256, 3), (17, 256, 512, 3), (19, 512, 512, 3), (21, 512, 512, 3), (24, 512, 512, 3),
        (26, 512, 512, 3), (28, 512, 512, 3),
    ],
    "squeeze": [(0, 3, 64, 3)],
}  # fmt: skip
FIRES = {
    3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128), 9: (256, 48, 192), 10: (384, 48, 192),
    11: (384, 64, 256), 12: (512, 64, 256),
}  # fmt: skip


def layout(net: Net) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's state_dict, without the classifier."""
    named = [(f"{at}", before, after, kernel) for at, before, after, kernel in CONVOLUTIONS[net]]
    for at, (before, narrow, wide) in FIRES.items() if net == "squeeze" else ():
        named.append((f"{at}.squeeze", before, narrow, 1))
        named += [(f"{at}.expand{k}x{k}", narrow, wide, k) for k in (1, 3)]
    found: dict[str, tuple[int, ...]] = {}
    for at, before, after, kernel in named:
        found[f"features.{at}.weight"] = (after, before, kernel, kernel)
        found[f"features.{at}.bias"] = (after,)
    return found


def random_state(net: Net) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    state = {}
    for name, shape in layout(net).items():
        spread = math.sqrt(2 / math.prod(shape[1:])) if len(shape) == 4 else 0.1
        state[name] = torch.randn(shape, generator=draw) * spread
    return state | {"classifier.1.weight": torch.zeros(2, 2)}  # which torchvision's files have, too


@pytest.fixture(scope="module", params=NETS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lpips:
    net: Net = request.param
    path = tmp_path_factory.mktemp(net) / "trunk.pth"
    torch.save(random_state(net), path)
    return lpips(net, path, HEADS / f"v0.1_{net}.pth", CPU)


def pictures(n: int = 2, size: tuple[int, int] = (40, 35), seed: int = 0, channels: int = 3) -> Tensor:
    return torch.rand((n, channels, *size), generator=torch.Generator().manual_seed(seed)) * 2 - 1


# the formula once more, layer by layer from a table and position by position


def walk(net: Net, state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Activations behind the ReLUs that are compared."""

    def conv(at: str, x: Tensor, **how: Any) -> Tensor:
        return F.relu(
            F.conv2d(x, state[f"features.{at}.weight"].double(), state[f"features.{at}.bias"].double(), **how)
        )

    if net == "alex":
        a = conv("0", x, stride=4, padding=2)
        b = conv("3", F.max_pool2d(a, 3, 2), padding=2)
        c = conv("6", F.max_pool2d(b, 3, 2), padding=1)
        d = conv("8", c, padding=1)
        return [a, b, c, d, conv("10", d, padding=1)]
    found = []
    if net == "vgg":
        for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
            x = F.max_pool2d(x, 2) if block[0] else x
            for at in block:
                x = conv(str(at), x, padding=1)
            found.append(x)
        return found
    x = conv("0", x, stride=2)
    found.append(x)
    for at in FIRES:
        if at in (3, 6, 9):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        narrow = conv(f"{at}.squeeze", x)
        x = torch.cat([conv(f"{at}.expand1x1", narrow), conv(f"{at}.expand3x3", narrow, padding=1)], 1)
        if at in (4, 7, 9, 10, 11, 12):
            found.append(x)
    return found


def by_loops(net: Net, state: dict[str, Tensor], a: Tensor, b: Tensor) -> float:
    """Zhang et al. 2018, eq. 1, for one picture each, in float64."""
    heads = torch.load(HEADS / f"v0.1_{net}.pth", map_location="cpu", weights_only=True)
    shift, scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
    channels = [[(x[c].double() - shift[c]) / scale[c] for c in range(3)] for x in (a, b)]
    layers = [walk(net, state, torch.stack(x)[None]) for x in channels]
    total = 0.0
    for number, (x, y) in enumerate(zip(*layers, strict=True)):
        w = heads[f"lin{number}.model.1.weight"].double().flatten()
        height, width = x.shape[2:]
        for i in range(height):
            for j in range(width):
                u, v = x[0, :, i, j], y[0, :, i, j]
                u, v = u / (torch.linalg.vector_norm(u) + 1e-10), v / (torch.linalg.vector_norm(v) + 1e-10)
                total += float(w @ (u - v) ** 2) / (height * width)
    return total


@needs_heads
def test_it_is_the_formula_of_the_paper(made: Lpips):
    a, b = pictures(), pictures(seed=1)
    found = made(a, b)
    assert found.shape == (2,)
    for i in range(2):
        assert float(found[i]) == pytest.approx(by_loops(made.net, random_state(made.net), a[i], b[i]), rel=1e-5)
    assert float(found.min()) > 0.01


@needs_heads
def test_it_is_a_distance(made: Lpips):
    a, b = pictures(), pictures(seed=1)
    assert torch.equal(made(a, a), torch.zeros(2))
    assert torch.equal(made(a, b), made(b, a))
    torch.testing.assert_close(made(a[:1], b[:1]), made(a, b)[:1])
    x = F.avg_pool2d(pictures(2, (48, 48)), 5, 1)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    grown = torch.stack([made(x, x + share * noise) for share in (0.01, 0.03, 0.1, 0.3)])
    assert (grown.diff(dim=0) > 0).all()


@needs_heads
def test_features_have_it_as_squared_distance(made: Lpips):
    a, b = pictures(), pictures(seed=1)
    x, y = made.features(a), made.features(b)
    torch.testing.assert_close((x - y).square().sum(1), made(a, b), rtol=1e-5, atol=1e-7)
    # the path length of a generator that mixes two pictures, by features and by the distance
    lengths = path_lengths(
        lambda t: torch.lerp(a[:1], b[:1], t[:, :1, None, None]), lambda x: made.features(x / 127.5 - 1),
        torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([0.3]), epsilon=0.1, walk="line",
    )  # fmt: skip
    steps = [torch.lerp(a[:1], b[:1], t) for t in (0.3, 0.4)]
    assert float(lengths) == pytest.approx(float(made(*steps)) / 0.01, rel=1e-3)


@needs_heads
def test_grey_is_repeated_and_parts_are_put_together(made: Lpips, monkeypatch: pytest.MonkeyPatch):
    a, b = pictures(3, channels=1), pictures(3, channels=1, seed=1)
    whole = made(a, b)
    assert torch.equal(whole, made(a.repeat(1, 3, 1, 1), b.repeat(1, 3, 1, 1)))
    monkeypatch.setattr(lpips_file, "MOST", 2 * 40 * 35)
    torch.testing.assert_close(made(a, b), whole)


@needs_heads
def test_slopes_reach_the_pictures_and_precision_is_handed_back(made: Lpips):
    a, b, before = pictures().requires_grad_(), pictures(seed=1), torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        found = made(a, b)
    assert torch.equal(found, made(a, b))
    assert torch.backends.cudnn.allow_tf32 == before
    found.sum().backward()
    assert a.grad is not None
    assert float(a.grad.abs().sum()) > 0
    assert not made.features(b).requires_grad


@each_net
def test_the_trunk_has_the_layout_of_torchvision(net: Net):
    assert {name: tuple(value.shape) for name, value in Trunk(net).state_dict().items()} == layout(net)


@each_net
def test_the_smallest_side_is_the_one_that_leaves_a_pixel(net: Net):
    trunk, side = Trunk(net), SMALLEST[net]
    assert min(layer.numel() for layer in trunk(torch.zeros(1, 3, side, side))) > 0
    with pytest.raises(RuntimeError):  # nothing is left to pool
        list(trunk(torch.zeros(1, 3, side - 1, side - 1)))


@needs_heads
def test_pictures_that_do_not_fit_are_refused(made: Lpips):
    side = SMALLEST[made.net]
    made(*[pictures(1, (side, 40))] * 2)
    with pytest.raises(UserError, match=rf"needs sides of {side} pixels .* have {side - 1}x40: enlarge"):
        made.features(pictures(1, (side - 1, 40)))
    with pytest.raises(UserError, match=r"one shape, not \(2, 3, 40, 35\) and \(1, 3, 40, 35\)"):
        made(pictures(), pictures(1))
    for x in (pictures(channels=4), (pictures() * 127).to(torch.uint8), pictures()[0]):
        with pytest.raises(UserError, match="compares pictures"):
            made(x, x)


@needs_heads
def test_a_small_picture_is_told_which_trunk_takes_it(tmp_path: Path):
    torch.save(random_state("alex"), tmp_path / "alex.pth")
    with pytest.raises(UserError, match="have 28x28: enlarge them, or take vgg or squeeze"):
        lpips("alex", tmp_path / "alex.pth", HEADS / "v0.1_alex.pth", CPU).features(pictures(1, (28, 28)))


# files


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def as_official(net: Net, path: Path, patch: pytest.MonkeyPatch) -> Path:
    """Take this file for torchvision's: its own checksum in its name."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    patch.setitem(TRUNKS, net, f"trunk-{digest[:8]}.pth")
    return path.rename(path.with_name(TRUNKS[net]))


@needs_heads
def test_only_the_trunk_of_torchvision_is_called_lpips(hub: Path, monkeypatch: pytest.MonkeyPatch):
    heads = HEADS / "v0.1_alex.pth"
    torch.save(random_state("alex"), hub / "x.pth")
    digest = hashlib.sha256((hub / "x.pth").read_bytes()).hexdigest()
    other = lpips("alex", hub / "x.pth", heads, CPU)
    assert (other.sha256, other.official, other.name) == (digest, False, f"distance_alex@{digest[:8]}")
    path = as_official("alex", hub / "x.pth", monkeypatch)
    assert find_trunk("alex") == path
    drawn = torch.random.get_rng_state()
    found = lpips("alex", None, heads, CPU)
    assert torch.equal(torch.random.get_rng_state(), drawn), "a run's draws must not know of it"
    assert (found.sha256, found.official, found.name) == (digest, True, "lpips_alex")


@each_net
def test_a_trunk_that_is_not_there_is_told(net: Net, hub: Path):
    with pytest.raises(UserError, match=r"download https://.* to .*") as refused:
        find_trunk(net)
    assert str(hub / TRUNKS[net]) in str(refused.value)
    assert TRUNKS[net] in {"alexnet-owt-7be5be79.pth", "vgg16-397923af.pth", "squeezenet1_1-b8a52dc0.pth"}


def test_a_damaged_trunk_is_told(hub: Path):
    (hub / TRUNKS["alex"]).write_bytes(b"torn")
    with pytest.raises(UserError, match=r"is damaged or another file: its SHA-256 .* begin with 7be5be79"):
        find_trunk("alex")


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> Any:
        return (Path.touch, (self.flag,))


def other_net(path: Path) -> None:
    torch.save(random_state("vgg"), path)


def too_few(path: Path) -> None:
    torch.save({name: value for name, value in random_state("alex").items() if "10" not in name}, path)


@needs_heads
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_net, "trunk.pth doesn't fit alex: it must be torchvision's alexnet-owt-7be5be79.pth"),
        (too_few, r"doesn't fit alex.*Missing key.*features.10.weight"),
        (lambda path: path.write_bytes(b"no weights"), "trunk of LPIPS, .* can't be read as plain tensors"),
        (lambda path: torch.save([torch.zeros(1)], path), "is not a state_dict"),
        (lambda path: torch.save({"features.0.weight": 3}, path), "is not a state_dict"),
        (lambda path: torch.save({"x": Bomb(path.with_name("it-ran"))}, path), "can't be read as plain tensors"),
        (lambda path: torch.save(nn.Linear(1, 1), path), "can't be read as plain tensors"),
        (lambda path: None, "isn't there"),
    ],
)
def test_a_trunk_that_does_not_fit_is_told(make: Callable[[Path], None], message: str, tmp_path: Path):
    make(tmp_path / "trunk.pth")
    with pytest.raises(UserError, match=message):
        lpips("alex", tmp_path / "trunk.pth", HEADS / "v0.1_alex.pth", CPU)
    assert not (tmp_path / "it-ran").exists()


@needs_heads
def test_heads_of_another_network_are_told(tmp_path: Path):
    torch.save(random_state("alex"), tmp_path / "trunk.pth")
    with pytest.raises(UserError, match=r"isn't the head of LPIPS v0.1 for alex: SHA-256 .*, expected df73285e"):
        lpips("alex", tmp_path / "trunk.pth", HEADS / "v0.1_vgg.pth", CPU)
