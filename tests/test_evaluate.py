"""mulligan evaluate, as a user meets it: scores with their protocol, the same every time; and what is refused."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mulligan
from mulligan.cli import main
from mulligan.core.run import Run

from . import helpers
from .test_distributed import torchrun

QUICK = ["--extractor", "net.py:make", "--count", "300", "--repeats", "2", "--device", "cpu"]
NET = """
import torch
def make():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(24), torch.nn.Tanh())
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run, a labelled one, a toy, and a network that looks."""
    folder = tmp_path_factory.mktemp("evaluate")
    net = NET.replace("torch.nn.LazyLinear(24)", "torch.nn.Linear(64, 24)")
    (folder / "net.py").write_text(net, encoding="utf-8")
    small: dict[str, Any] = {"images": 640, "width": 8, "batch": 32, "device": "cpu"}
    mulligan.train("dcgan", "digits", out=folder / "run", checkpoint_every=320, **small)
    mulligan.train("cgan", "digits", out=folder / "labelled", **small)
    mulligan.train("gan", "ring", out=folder / "ring", images=6400, batch=64, device="cpu")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def scored(path: Path) -> list[dict[str, Any]]:
    return Run(path).scores()


def run(*words: str) -> int:
    try:
        main(["evaluate", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_score_carries_its_protocol(here, capsys):
    before = len(scored(here / "run"))
    assert run("run", *QUICK) == 0
    rows = scored(here / "run")[before:]
    said = capsys.readouterr().out
    assert [row["metric"] for row in rows] == ["fid", "kid", "pr", "pr", "dc", "dc"]
    fd = rows[0]
    assert fd["name"].startswith("fd_net.py:make@")
    assert fd["name"] in said
    assert "not comparable with FID" in said
    assert said.rstrip().endswith("scores.jsonl")
    assert len(fd["values"]) == 2
    assert fd["value"] == pytest.approx(sum(fd["values"]) / 2)
    assert fd["error"] == pytest.approx(abs(fd["values"][0] - fd["values"][1]) / 2)
    assert 0 <= fd["floor"] < fd["value"]
    assert (fd["round"], fd["images"], fd["training"]) == (20, 640, False)
    protocol = fd["protocol"]
    wanted = {
        "split": "train", "real_count": 1797, "fake_count": 300, "weights": "ema", "truncation": 1.0, "seed": 0,
        "size": "8x8", "resize": "none",
    }  # fmt: skip
    assert {key: protocol[key] for key in wanted} == wanted
    assert len(protocol["extractor_sha256"]) == 64
    assert protocol["versions"]["torch"] == torch.__version__
    assert rows[1]["protocol"]["settings"] == {"subsets": 100, "size": 1000, "seed": 2020}


def values(path: Path, last: int) -> dict[str, float]:
    return {row["name"]: row["value"] for row in scored(path)[-last:]}


def test_one_seed_gives_one_number_whatever_the_batch(here):
    found = []
    for more in ([], ["--batch", "1"], ["--batch", "64"], ["--seed", "1"]):
        assert run("run", *QUICK, *more) == 0
        found.append(values(here / "run", 6))
    assert found[0] == found[2]
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx(value, rel=1e-6)
        assert "fd_" not in name or found[3][name] != value


def test_two_processes_give_what_one_gives(here):
    assert run("run", *QUICK) == 0
    one = values(here / "run", 6)
    before = len(scored(here / "run"))
    root = str(Path(mulligan.__file__).parents[2])
    words = [word if word != "net.py:make" else str(here / "net.py") + ":make" for word in QUICK]
    launched = torchrun("-m", "mulligan", "evaluate", str(here / "run"), *words, stdout=-1)
    out, said = launched.communicate(timeout=200)
    assert launched.returncode == 0, said + root
    assert out.count("appended") == 1
    assert len(scored(here / "run")) == before + 6
    two = values(here / "run", 6)
    assert two.keys() == one.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-6)


def folder_of(path: Path, x: torch.Tensor) -> Path:
    from mulligan.media import Images

    Images().files(x, path)
    return path


def digits(n: int, start: int = 0) -> torch.Tensor:
    rows = mulligan.open_source("digits").gather(torch.arange(start, start + n))["x"]
    return rows.float() / 127.5 - 1


def test_pictures_of_any_program(here, tmp_path, capsys):
    real, fake = folder_of(tmp_path / "real", digits(300)), folder_of(tmp_path / "fake", digits(300, 300))
    noise = folder_of(tmp_path / "noise", torch.rand(300, 1, 8, 8) * 2 - 1)
    fd = []
    for folder in (fake, noise):
        assert run("--fake", str(folder), "--real", str(real), *QUICK) == 0
        said = capsys.readouterr().out
        fd.append(float(next(line for line in said.splitlines() if line.startswith("fd_")).split()[1].replace(",", "")))
        assert "from a folder" in said
        assert "appended" not in said
    assert fd[0] < 0.3 * fd[1]


def test_a_folder_has_an_error_by_leaving_groups_out(here, tmp_path, capsys):
    real, fake = folder_of(tmp_path / "real", digits(200)), folder_of(tmp_path / "fake", digits(200, 300))
    assert run("--fake", str(fake), "--real", str(real), *QUICK, "--metrics", "fid") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fd_"))
    assert float(line.split()[2]) > 0
    out = tmp_path / "scores.jsonl"
    assert run("--fake", str(fake), "--real", str(real), *QUICK, "--metrics", "fid", "--out", str(out)) == 0
    (row,) = (json.loads(text) for text in out.read_text().splitlines())
    assert row["protocol"]["fake"] == "folder"
    assert row["error"] == pytest.approx(float(line.split()[2]), abs=0.01)


def test_pairs_by_psnr_and_ssim(here, tmp_path, capsys):
    x = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    real = folder_of(tmp_path / "real", x)
    words = ["--device", "cpu", "--extractor", "own", "--metrics", "psnr,ssim"]
    found = []
    for amount in (0.05, 0.2):
        fake = folder_of(tmp_path / f"fake{amount}", x + amount)
        assert run("--fake", str(fake), "--real", str(real), *words) == 0
        lines = {
            line.split()[0]: line.split()
            for line in capsys.readouterr().out.splitlines()
            if line[:4] in ("psnr", "ssim")
        }
        found.append({name: float(words[1]) for name, words in lines.items()})
    assert found[0]["psnr"] == pytest.approx(20 * math.log10(2 / 0.05), abs=0.15)
    assert found[1]["psnr"] == pytest.approx(20 * math.log10(2 / 0.2), abs=0.05)
    assert 0.9 < found[1]["ssim"] < found[0]["ssim"] <= 1
    for name, count in (("few", 20), ("many", 40)):
        np.save(tmp_path / f"{name}.npy", x[:count, 0].numpy())
    assert run("--fake", str(tmp_path / "few.npy"), "--real", str(tmp_path / "many.npy"), *words) == 2
    assert "as many generated as real pictures" in capsys.readouterr().err
    renamed = tmp_path / "renamed"
    for i, file in enumerate(sorted((tmp_path / "fake0.2").iterdir())):
        renamed.mkdir(exist_ok=True)
        (renamed / f"x{i:03d}.png").write_bytes(file.read_bytes())
    assert run("--fake", str(renamed), "--real", str(real), *words) == 2
    assert "pairs of equal names" in capsys.readouterr().err
    other = folder_of(tmp_path / "other", x[:20])
    assert run("--fake", str(other), "--real", str(real), *words) == 2
    assert "pairs of equal names" in capsys.readouterr().err


REFUSED: list[tuple[str, list[str], str]] = [
    ("nothing", [], "what is to be scored"),
    ("one side", ["--fake", "real"], "need both sides"),
    ("both", ["run", "--fake", "real"], "a run and --fake at once"),
    ("unknown metric", ["run", "--metrics", "fid,kdi"], "unknown metric 'kdi', did you mean 'kid'"),
    ("no labels", ["run", "--metrics", "intra"], "metric intra needs a generator with labels"),
    ("no held-out data", ["run", "--metrics", "memorisation"], "--held-out SOURCE"),
    ("no mixture", ["run", "--metrics", "modes"], "ring and grid"),
    ("no stack", ["run", "--metrics", "stacked"], "stacked_mnist"),
    ("held-out labels", ["labelled", "--metrics", "cas", "--held-out", "real"], "held-out data with labels"),
    ("no classes", ["run", "--metrics", "is"], "metric is needs an extractor that names classes"),
    ("no trunk", ["run", "--metrics", "lpips"], "--heads"),
    ("count", ["run", "--count", "1"], "--count 1: at least 2"),
    ("repeats", ["run", "--repeats", "0"], "--repeats 0: at least 1"),
    ("checkpoint", ["run", "--checkpoint", "round-7.pt"], "has no checkpoint 'round-7.pt': there are round-"),
    ("best", ["run", "--checkpoint", "best"], "no checkpoint of run has a score"),
    ("size of a run", ["run", "--size", "32"], "belong to --fake and --real"),
    ("split", ["run", "--split", "valid"], 'no split "valid"'),
    ("no run", ["nowhere"], "no run at nowhere"),
    ("extractor", ["run", "--extractor", "vgg"], "take auto, inception, own"),
    ("weights", ["run", "--weights", "wrong.pth", "--extractor", "inception"], "not the Inception of the FID paper"),
    ("reference", ["run", "--reference", "nowhere/else"], "There is no nowhere/else"),
    (
        "other sizes",
        ["--fake", "small", "--real", "real"],
        "--fake has pictures of 6x6 pixels in 1 channel and --real of 8x8",
    ),
    ("mixed sizes", ["--fake", "mixed", "--real", "real"], "of different sizes (3 of 8x8, 2 of 6x6)"),
    ("one picture", ["--fake", "single", "--real", "real"], "--fake has 1 picture, and a distance needs at least 2"),
    ("empty", ["--fake", "empty", "--real", "real"], "is empty"),
    ("not a number", ["--fake", "nan.npy", "--real", "real"], "not finite"),
]


@pytest.fixture(scope="module")
def pictures_around(place: Path) -> None:
    folder_of(place / "real", digits(50))
    folder_of(place / "single", digits(1))
    small = torch.rand(5, 1, 6, 6)
    folder_of(place / "small", small)
    folder_of(place / "mixed", digits(3))
    for i, item in enumerate(small[:2]):
        Image.fromarray((item[0] * 255).byte().numpy()).save(place / "mixed" / f"x{i}.png")
    (place / "empty").mkdir()
    (place / "wrong.pth").write_bytes(b"not the Inception")
    x = np.random.default_rng(0).random((20, 8, 8)).astype(np.float32)
    x[3, 4, 4] = np.nan
    np.save(place / "nan.npy", x)


@pytest.mark.parametrize(("words", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_wrong_input_is_told_and_nothing_is_written(here, pictures_around, capsys, words, message):
    if "--weights" in words and importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity is not installed")
    before = helpers.tree_hash(here)
    given = words if "--extractor" in words else [*words, "--extractor", "net.py:make"]
    assert run(*given, "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert "Traceback" not in error
    after = helpers.tree_hash(here)
    assert {k: v for k, v in after.items() if "__pycache__" not in k} == {
        k: v for k, v in before.items() if "__pycache__" not in k
    }


def test_few_samples_are_told_with_the_bias(here, capsys):
    assert run("run", "--extractor", "net.py:make", "--count", "24", "--repeats", "1", "--device", "cpu") == 0
    error = capsys.readouterr().err
    assert "24 samples for 24 feature dimensions" in error
    assert "biased upwards, here by about" in error


def test_a_generator_that_makes_nan_is_told(here, tmp_path, capsys):
    made = mulligan.train("dcgan", "digits", out=tmp_path / "sick", images=64, width=8, batch=32, device="cpu")
    from safetensors.torch import load_file, save_file

    weights = load_file(made.sampler_file)
    name = next(name for name in weights if weights[name].dim() == 4)
    weights[name][0] = torch.nan
    save_file(weights, made.sampler_file)
    assert run(str(tmp_path / "sick"), *QUICK) == 2
    assert "NaN or infinite: the generator is broken" in capsys.readouterr().err


def test_live_weights_and_older_checkpoints_are_others(here):
    found = {}
    names = sorted(p.name for p in (here / "run" / "checkpoints").glob("round-*.pt"))
    for key, more in {"ema": [], "live": ["--live"], "old": ["--checkpoint", names[0]]}.items():
        assert run("run", *QUICK, "--metrics", "fid", *more) == 0
        row = scored(here / "run")[-1]
        found[key] = row["value"]
        assert row["protocol"]["weights"] == ("live" if key == "live" else "ema")
        assert row["protocol"]["checkpoint"] == (names[0] if key == "old" else "newest")
        assert row["images"] == (320 if key == "old" else 640)
    assert len(set(found.values())) == 3


def test_every_metric_of_a_labelled_run(here, tmp_path, capsys):
    """Held-out pictures by --held-out; the extractor names classes."""
    x, y = (mulligan.open_source("digits").tensors[key].numpy() for key in ("x", "y"))
    np.savez(tmp_path / "kept.npz", x=x[:400, 0], y=y[:400])
    keys = "fid,fid_inf,kid,is,pr,dc,mind,classes,intra,memorisation,ppl"
    words = ["--held-out", str(tmp_path / "kept.npz"), "--count", "400", "--repeats", "1", "--device", "cpu"]
    assert run("labelled", "--extractor", "own", "--metrics", keys, *words) == 0
    rows = {row["name"].split("_digits@")[0]: row for row in scored(here / "labelled")}
    wanted = "fd fd_inf kd cs precision recall density coverage mind class_kl intra_fd memorised memory_ratio ppl"
    assert set(wanted.split()) <= set(rows)
    assert all(math.isfinite(row["value"]) for row in rows.values())
    assert rows["fd"]["protocol"]["labels"] == "as often as in the real data"
    assert (here / "labelled" / "memorisation.png").is_file()
    assert 0 <= rows["memorised"]["value"] <= 1
    assert sum(rows["class_kl"]["details"].values()) == pytest.approx(1, abs=1e-4)
    assert rows["intra_fd"]["value"] == pytest.approx(sum(rows["intra_fd"]["details"].values()) / 10)
    assert "details" not in rows["fd"]
    said = capsys.readouterr().out
    assert "classes    0: " in said
    assert "memorisation.png" in said


def test_cas_of_a_labelled_run(here, tmp_path, monkeypatch):
    from mulligan.metrics import classifier

    monkeypatch.setattr(classifier, "default_steps", lambda count: 30)
    x, y = (mulligan.open_source("digits").tensors[key].numpy() for key in ("x", "y"))
    np.savez(tmp_path / "kept.npz", x=x[:400, 0], y=y[:400])
    words = ["--held-out", str(tmp_path / "kept.npz"), "--count", "300", "--repeats", "1", "--device", "cpu"]
    assert run("labelled", "--extractor", "net.py:make", "--metrics", "cas", *words) == 0
    found = values(here / "labelled", 3)
    assert set(found) == {"gan_train", "real_train", "gan_test"}
    assert found["real_train"] > 0.7  # a generator that has just begun teaches nothing, real pictures do
    assert found["gan_train"] < found["real_train"] - 0.2


def test_the_modes_of_a_toy(here, capsys):
    assert run("ring", "--count", "2000", "--device", "cpu") == 0
    found = {row["name"].split("@")[0]: row for row in scored(here / "ring")}
    assert {"modes", "good", "reverse_kl", "fd_points"} == set(found)
    assert found["modes"]["floor"] == 8
    assert found["good"]["floor"] > 0.98
    assert found["modes"]["protocol"]["extractor"] == ""


def test_scores_say_where_the_data_have_changed(here, tmp_path, capsys):
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=draw.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    mulligan.train("dcgan", tmp_path / "data.npz", out=tmp_path / "run", images=64, width=8, batch=32, device="cpu")
    np.savez(tmp_path / "data.npz", x=draw.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    assert run(str(tmp_path / "run"), *QUICK) == 0
    assert "is not what the run was trained on" in capsys.readouterr().err


def test_python_gives_scores(here):
    from mulligan.assess.how import How

    scores = mulligan.evaluate(here / "run", metrics=["fid"], device="cpu", record=False,
                               how=How(count=300, repeats=1, extractor="net.py:make"))  # fmt: skip
    (score,) = scores
    assert score.error is None
    assert json.dumps(score.row())


def test_the_official_generator_of_svhn_is_imported_sampled_and_scored(here, tmp_path, capsys):
    weights = Path(__file__).resolve().parents[2] / "shared/weights/svhn_dcgan_radford"
    if not weights.is_dir():
        pytest.skip("the official DCGAN's weights are not beside this checkout")
    main(["import", str(weights / "svhn_dcgan_generator_state_dict.pt"), "-o", str(tmp_path / "svhn")])
    main(
        [
            "sample",
            str(tmp_path / "svhn"),
            "-n",
            "400",
            "--seed",
            "9",
            "--out",
            str(tmp_path / "own"),
            "--device",
            "cpu",
        ]
    )
    noise = folder_of(tmp_path / "noise", torch.rand(400, 3, 32, 32) * 2 - 1)
    (tmp_path / "net.py").write_text(NET.replace("torch.nn.LazyLinear(24)", "torch.nn.Linear(3072, 24)"))
    words = ["--extractor", f"{tmp_path / 'net.py'}:make", "--count", "400", "--repeats", "1", "--device", "cpu"]
    found = []
    for reference in (tmp_path / "own", noise):
        assert run(str(tmp_path / "svhn"), "--reference", str(reference), "--metrics", "fid", *words) == 0
        found.append(scored(tmp_path / "svhn")[-1])
    own, other = found
    assert own["value"] < 2 * own["floor"] < 0.05 * other["value"]
    assert run(str(tmp_path / "svhn"), *words) == 2
    assert "the real data with --reference" in capsys.readouterr().err
