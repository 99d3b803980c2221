"""The parity tool: what it accepts, and that it can refuse."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan.nets import resnet
from mulligan.parts import objectives
from tests.parity.__main__ import main
from tests.parity.compare import compare

PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"
FIXTURES = (
    "loss_formulas",
    "gradient_penalties",
    "lecam_regularizer",
    "diffaugment",
    "dcgan_examples",
    "cyclegan_GANLoss",
    "sr_gan_losses",
    "ctgan",
    "mimicry_sngan32",
    "mimicry_cgan_pd32",
    "mimicry_wgan_gp32",
    "metrics_features",
    "metrics_inception_score",
    "metrics_ppl",
    "sg2_ops",
    "sg2ada_augmentpipe",
    "sg2ada_generator_skip",
    "sg2ada_generator_orig_uncond",
    "sg2ada_generator_resnet_uncond",
    "sg2ada_discriminator_resnet",
    "sg2ada_discriminator_skip_uncond",
    "sg2ada_losses",
    "sg3_discriminator",
    "sg3_generator_T",
    "sg3_generator_R",
    "sg3_ops",
    "biggan_generator_plain",
    "biggan_generator_hier_shared",
    "biggan_discriminator",
    "biggandeep_generator",
    "biggandeep_discriminator",
    "hf_biggan_deep",
    "norm_layers",
    "studiogan_resnet",
    "studiogan_big_resnet",
    "pgan_generator_ganzoo",
    "pgan_discriminator_ganzoo",
    "stylegan1_generator_rosinality",
    "stylegan1_discriminator_rosinality",
    "r3gan_cond",
    "r3gan_uncond",
)


def _path(name: str) -> Path:
    path = PARITY / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the parity fixture {path.name} is not beside this checkout")
    return path


def _changed(name: str, folder: Path, **changes) -> str:
    """A copy of a fixture with some arrays replaced by function(array), or dropped where it gives None."""
    with np.load(_path(name), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    for key, change in changes["arrays"].items():
        value = change(arrays.pop(key))
        if value is not None:
            arrays[key] = value
    path = folder / f"{name}.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("name", FIXTURES)
def test_fixture_within_tolerance(name, capsys):
    assert main([str(_path(name))]) == 0
    assert "within tolerance; worst" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("dcgan_examples", "state/G.main.0.weight"),
        ("dcgan_examples", "state/D.main.11.weight"),
        ("mimicry_sngan32", "state/D.block3.c1.weight_u"),
        ("mimicry_cgan_pd32", "state/D.l_y.weight"),
        ("ctgan", "state/D.seq.3.weight"),
        ("gradient_penalties", "state/conv2.weight"),
        ("diffaugment", "in/full/saturation_u"),
        ("lecam_regularizer", "in/fake"),
    ],
)
def test_perturbed_array_fails(name, key, tmp_path, capsys):
    path = _changed(
        name, tmp_path, arrays={key: lambda a: a + 0.05 * np.arange(a.size, dtype=a.dtype).reshape(a.shape)}
    )
    assert main([path]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_perturbed_formula_fails(monkeypatch, capsys):
    monkeypatch.setattr(objectives.hinge.__class__, "d", property(lambda self: lambda r, f: self[0](r, f) * 1.001))
    assert main([str(_path("mimicry_wgan_gp32"))]) == 1
    failed = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("  FAIL")]
    assert "loss/D_hinge" in failed
    assert "grad/D_hinge/D.l5.weight" in failed
    assert "out/D_real" not in failed


def test_perturbed_network_fails(monkeypatch):
    plain = resnet.DownBlock.forward
    monkeypatch.setattr(resnet.DownBlock, "forward", lambda self, x: plain(self, x) * 1.001)
    assert main([str(_path("mimicry_sngan32"))]) == 1


def test_forgotten_array_fails(tmp_path, capsys):
    with np.load(_path("diffaugment"), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(tmp_path / "more.npz", **arrays, **{"grad/x/y": np.ones(3)})
    assert main([str(tmp_path / "more.npz")]) == 1
    assert "not computed" in capsys.readouterr().out


def test_other_ratio_is_read(tmp_path):
    """A configuration is read, not assumed: the same arrays under another cutout ratio no longer agree."""
    path = _changed("diffaugment", tmp_path, arrays={"config_json": lambda a: np.array(str(a).replace("0.5", "0.25"))})
    assert main([path]) == 1


def test_unusable_files_exit_2(tmp_path, capsys):
    assert main([]) == 2
    assert main([str(tmp_path / "none.npz")]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "text.npz").write_text("no archive")
    assert main([str(tmp_path / "text.npz")]) == 2
    assert "not an .npz archive" in capsys.readouterr().err
    np.savez(tmp_path / "bare.npz", x=np.ones(2))
    assert main([str(tmp_path / "bare.npz")]) == 2
    assert "config_json" in capsys.readouterr().err
    (tmp_path / "cut.npz").write_bytes((tmp_path / "bare.npz").read_bytes()[:-40])
    assert main([str(tmp_path / "cut.npz")]) == 2
    np.savez(tmp_path / "pickle.npz", config_json=np.array([{}], dtype=object), meta_json=np.array("{}"))
    assert main([str(tmp_path / "pickle.npz")]) == 2


def test_unknown_project_is_named(tmp_path, capsys):
    meta = '{"project": "someone/else", "cls": "Strange.Net", "rtol": 1e-4}'
    np.savez(tmp_path / "x.npz", config_json=np.array("{}"), meta_json=np.array(meta))
    assert main([str(tmp_path / "x.npz")]) == 2
    message = capsys.readouterr().err
    assert "Strange.Net" in message
    assert "not supported yet" in message


def test_missing_state_exits_2(tmp_path, capsys):
    path = _changed("dcgan_examples", tmp_path, arrays={"state/D.main.2.weight": lambda a: None})
    assert main([path]) == 2
    assert "body.downs.1.weight" in capsys.readouterr().err


def test_comparison_rules():
    b = np.array([1.0, -2.0])
    assert compare("out/x", torch.tensor([1.0, -2.0001]), b, 1e-4).passed
    assert not compare("out/x", torch.tensor([1.0, -2.001]), b, 1e-4).passed
    assert compare("grad/l/x", torch.tensor([1.0, -2.0009]), b, 1e-4).passed
    assert not compare("out/x", torch.tensor([1.0, torch.nan]), b, 1e-4).passed
    assert not compare("out/x", torch.tensor([[1.0, -2.0]]), b, 1e-4).passed
    assert compare("grad/l/x", torch.zeros(2) + 9e-7, np.zeros(2), 1e-4).passed
    assert not compare("grad/l/x", torch.zeros(2) + 2e-6, np.zeros(2), 1e-4).passed
    assert not compare("after/n", torch.tensor(8), np.array(7), 1e-4).passed
