"""BigGAN-PyTorch's and Hugging Face's files come in as runs of ours, which make the official pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

import mulligan
from mulligan import UserError
from mulligan.nets.biggan_hub import Generator as Hub
from mulligan.nets.biggan_hub import Step
from mulligan.weights.biggan_hf_found import right, whole
from mulligan.weights.bring import bring
from tests.parity.compare import compare
from tests.parity.fixture import Fixture, fixture

OFFICIAL = ["biggan_generator_hier_shared", "biggan_generator_plain", "biggandeep_generator"]
State = dict[str, Tensor]


def saved(path: Path, state: State, config: dict[str, Any] | None = None) -> Path:
    """As torch.save writes it, with a configuration beside it."""
    torch.save(state, path)
    if config is not None:
        path.with_name("config.json").write_text(json.dumps(config))
    return path


def same(key: str, x: Tensor, f: Fixture) -> bool:
    return compare(f"out/{key}", x, f.arrays[f"out/{key}"], f.rtol).passed


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_state_of_biggan_pytorch_makes_the_official_pictures(name: str, tmp_path: Path):
    f = fixture(name)
    bring(saved(tmp_path / "G_ema.pth", f.under("state/")), tmp_path / "run")
    run = mulligan.load(tmp_path / "run")
    with torch.no_grad():
        assert same("eval", run.sampler.decode(f["in/z"], f["in/y"]), f)
    told, theirs = run.settings()["arguments"], f.config
    assert told["net.latent"] == theirs["dim_z"]
    assert told["net.hier"] is (theirs["hier"] or "deep" in name)
    assert told["net.width"] == theirs["G_ch"]
    assert told["net.attention"] == [int(theirs["G_attn"])]
    assert len(run.classes) == theirs["n_classes"]
    assert not torch.equal(run.sample(2, label=0, seed=1), run.sample(2, label=3, seed=1))
    assert run.sample(2).shape == (2, 3, 32, 32)


def test_hugging_faces_state_makes_the_official_pictures_at_every_truncation(tmp_path: Path):
    f = fixture("hf_biggan_deep")
    bring(saved(tmp_path / "pytorch_model.bin", f.under("state/"), f.config), tmp_path / "run")
    run = mulligan.load(tmp_path / "run")
    y = f["in/class_label"]
    for name in f.under("out/"):
        run.truncate(float(name.removeprefix("img_t")))
        with torch.no_grad():
            x = run.sampler.G(f["in/z"], y, run.sampler.psi)
            assert same(name, x, f)
            labels = torch.tensor([0, 2, 1])
            known = run.sampler.G(f["in/z"], labels, run.sampler.psi)
            assert torch.equal(run.decode(f["in/z"], labels), known)
    assert run.truncate(0).sample(2).isfinite().all()
    assert run.truncate(1.5).sample(2).isfinite().all()


def test_a_configuration_of_another_name_is_found_and_a_foreign_one_is_refused(tmp_path: Path):
    f = fixture("hf_biggan_deep")
    file = saved(tmp_path / "small-pytorch_model.bin", f.under("state/"))
    config = tmp_path / "small-config.json"
    config.write_text(json.dumps(f.config))
    assert bring(file, tmp_path / "run").settings()["arguments"]["net.hub.doubles"] == [0, 1, 0, 1, 1, 0]
    for text, why in [
        ("{", "can't be read"), ("[]", "has no layers"), ('{"layers": [[1, 16, 16]]}', "has no layers"),
        (json.dumps({**f.config, "channel_width": 8}), "other channels"),
        (json.dumps({**f.config, "layers": f.config["layers"][:-1]}), "other channels"),
        (json.dumps({**f.config, "eps": "x"}), "eps is"), ("[" * 100_000, "too long"),
    ]:  # fmt: skip
        config.write_text(text)
        with pytest.raises(UserError, match=why):
            bring(file, tmp_path / "other")
        assert not (tmp_path / "other").exists()


def test_without_a_configuration_blocks_double_as_in_the_published_ones(tmp_path: Path):
    f = fixture("hf_biggan_deep")
    run = bring(saved(tmp_path / "pytorch_model.bin", f.under("state/")), tmp_path / "run")
    assert run.settings()["arguments"]["net.hub.doubles"] == [0, 1, 0, 1, 0, 1]
    layers = [(i % 2 == 1, 4 * a, 4 * b) for i, (_, a, b) in enumerate(f.config["layers"])]
    G = Hub(12, 6, [Step(*layer) for layer in layers], attention=3).eval()
    G.load_state_dict({name.removeprefix("G."): t for name, t in run.sampler.state_dict().items()})
    z, y = f["in/z"], torch.tensor([0, 2, 1])
    with torch.no_grad():
        assert torch.equal(run.sampler.decode(z, y), G(z, y))


def test_singular_vectors_that_an_older_pytorch_left_out_are_made_again(tmp_path: Path):
    f = fixture("hf_biggan_deep")
    state = f.under("state/")
    old = {name: t for name, t in state.items() if not name.endswith("weight_v")}
    layer = "generator.gen_z"
    original, u, v = (state[f"{layer}.weight_{entry}"] for entry in ("orig", "u", "v"))
    sigma = torch.dot(u, original @ v)
    made = whole({**old, f"{layer}.weight": original / sigma})
    assert made.keys() == state.keys()
    assert torch.allclose(torch.dot(u, original @ made[f"{layer}.weight_v"]), sigma, rtol=1e-5)
    assert right(original, u, None).norm() == pytest.approx(1, rel=1e-5)
    bring(saved(tmp_path / "pytorch_model.bin", old, f.config), tmp_path / "run")


def test_torchs_spectral_norm_divides_by_what_the_vectors_say():
    layer = spectral_norm(nn.Linear(5, 7))
    for _ in range(200):
        layer(torch.zeros(1, 5))
    u, v = layer.weight_u, layer.weight_v
    assert torch.allclose(right(layer.weight_orig.detach(), u, None), v, atol=1e-4)


def test_a_discriminator_alone_is_refused_by_name(tmp_path: Path):
    for name in ("biggan_discriminator", "biggandeep_discriminator"):
        file = saved(tmp_path / "D.pth", fixture(name).under("state/"))
        with pytest.raises(UserError, match="is a discriminator of BigGAN-PyTorch: name the file of the generator"):
            bring(file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("biggan_generator_hier_shared", {"blocks.1.0.conv1.weight": None}, "blocks 0, 2 are none of"),
        ("biggan_generator_hier_shared", {"blocks.2.0.conv2.bias": None}, "blocks.2.0.conv2.bias is missing"),
        ("biggan_generator_hier_shared", {"blocks.1.0.bn3.gain": torch.zeros(2)}, "left over"),
        ("biggan_generator_hier_shared", {"linear.weight": torch.zeros(500, 5)}, "are no square"),
        ("biggan_generator_hier_shared", {"output_layer.2.weight": torch.zeros(3)}, "not of 4 sides"),
        ("biggan_generator_hier_shared", {"shared.weight": torch.zeros(5, 30)}, "-13 entries are left for z"),
        ("biggandeep_generator", {"blocks.5.0.conv1.weight": None}, "are none of"),
        ("hf_biggan_deep", {"generator.layers.3.snconv1x1_theta.weight_orig": None}, "its layers aren't those"),
        ("hf_biggan_deep", {"generator.bn.running_means": None}, "running_means is missing"),
        ("hf_biggan_deep", {"generator.layers.0.bn_1.scale.weight_u": None}, "missing"),
    ],
)
def test_what_is_no_whole_generator_is_refused_and_leaves_nothing(
    name: str, change: dict[str, Tensor | None], why: str, tmp_path: Path
):
    state = {**fixture(name).under("state/"), **change}
    file = saved(tmp_path / "G.pth", {key: tensor for key, tensor in state.items() if tensor is not None})
    with pytest.raises(UserError, match=why):
        bring(file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "entries"),
    [("stored", "stored_mean"), ("standing", "bn.stored_mean"), ("synchronized", "bn.running_mean"), ("none", "")],
)
def test_every_way_of_keeping_statistics_comes_in(kind: str, entries: str, tmp_path: Path):
    """Their switches --cross_replica, --mybn and --norm_style, for which the last norm has statistics nevertheless."""
    from mulligan.weights.biggan import generator

    switches = {"standing": {"mybn": True}, "synchronized": {"cross_replica": True}, "none": {"norm_style": "nonorm"}}
    theirs = {"resolution": 32, "G_ch": 4, "dim_z": 8, "n_classes": 3, "hier": True, "shared_dim": 4, "G_attn": "0"}
    G = generator({**theirs, **switches.get(kind, {}), "num_G_SVs": 2}).eval()
    state = G.state_dict()
    assert not entries or f"blocks.0.0.bn1.{entries}" in state
    run = bring(saved(tmp_path / "G.pth", state), tmp_path / "run")
    z, y = torch.randn(2, 8), torch.tensor([0, 2])
    told = run.settings()["arguments"]
    assert (told["net.statistics"], told["net.singular"], told["net.attention"]) == (kind, 2, [0])
    with torch.no_grad():
        assert torch.allclose(run.sampler.decode(z, y), G(z, y), atol=1e-6)
