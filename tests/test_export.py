"""What leaves a run makes the run's pictures elsewhere, says where it is from, and appears whole or not at all."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mulligan
from mulligan import UserError
from mulligan.auto import resolve
from mulligan.cli import main
from mulligan.core.recipe import flatten
from mulligan.core.run import Run
from mulligan.experiment import Described, Experiment
from mulligan.export import onnx as graphs
from mulligan.export.card import seconds
from mulligan.export.deliver import deliver
from mulligan.export.plain import plain_twin, shortened
from mulligan.parts.samplers import Sampler
from mulligan.weights.bring import bring
from mulligan.zoo import SHELF, find
from tests.parity.fixture import fixture

from .test_import_nvidia import PICTURES, written
from .test_recipes import small

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@pytest.fixture(scope="module", autouse=True)
def translations_are_read_once() -> Any:
    """The exporter parses its thousand translations anew for each graph, which takes longer than all else here."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        usual = ONNXRegistry.__dict__["from_torchlib"]
    except (ImportError, KeyError):
        yield
        return
    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
    yield
    ONNXRegistry.from_torchlib = usual


@torch.no_grad()
def stirred(module: nn.Module) -> None:
    """Statistics, gains and biases as training leaves them: nothing that is 0 or 1 by chance hides a mistake."""
    for name, value in module.named_buffers():
        if "running" in name:
            value.copy_(0.3 * torch.randn_like(value) if "mean" in name else torch.rand_like(value) + 0.5)
    for value in module.parameters():
        if bool((value == value.reshape(-1)[0]).all()):
            value.add_(0.3 * torch.randn_like(value).abs())
        elif float(value.std()) < 0.05:  # DCGAN's: so small that pictures are grey
            value.div_(4 * value.std())


def made(folder: Path, name: str, shape: tuple[int, ...] = (3, 8, 8), /, **data: Any) -> Experiment:
    """A run folder with weights that nobody has trained."""
    recipe = find(name)
    told = {"classes": ["a", "b", "c"], "count": 24, "fingerprint": "f" * 64, "name": "photos", **data}
    facts = {"source": "/home/somebody/photos", "shape": list(shape), **told}
    described = Described(
        shape, tuple(facts["classes"]), facts["count"], tuple(facts.get("columns", ())),
        tuple(map(tuple, facts.get("scaling", ()))), tuple(map(tuple, facts.get("examples", ()))),
    )  # fmt: skip
    torch.manual_seed(0)
    arguments = resolve(recipe, recipe.arguments(small(name)), described)[0]
    sampler = recipe.plan(described, arguments).game.sampler
    stirred(sampler)
    settings = {
        "recipe": recipe.spec, "sha256": "", "paper": recipe.paper, "arguments": flatten(arguments), "data": facts,
        "seed": 3, "precision": "fp32", "versions": {"mulligan": "0.1.0", "torch": "2.13.0"},
    }  # fmt: skip
    run = Run(folder)
    run.create(settings)
    run.write_sampler(sampler, settings)
    return Experiment(folder, "cpu")


def session(path: Path) -> Any:
    return pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])


def worst(path: Path, run: Experiment, psi: float = 1.0) -> float:
    """The largest difference to what the run itself samples, over its range, at batch 1, 3 and 5."""
    graph, found = session(path), 0.0
    for n in (1, 3, 5):
        z, y = Experiment(run.path, "cpu").latents(n, seed=7), run.some_labels(n)
        given = {"z": z.numpy()} if y is None else {"z": z.numpy(), "y": y.numpy()}
        (x,) = graph.run(None, given)
        truth = run.truncate(psi).decode(run.latents(n, seed=7), y).numpy()
        assert x.dtype == np.float32
        assert x.shape == truth.shape
        span = float(truth.max() - truth.min())
        assert span > 0.01, "a flat picture tells nothing"
        found = max(found, float(np.abs(x - truth).max()) / span)
    return found


def needs_onnx() -> None:
    for name in PACKAGES:
        pytest.importorskip(name)


PSI = {"dcgan": 0.6, "radford": 0.6, "stylegan2": 0.6}  # normal latents, uniform ones, styles


@pytest.mark.parametrize("name", list(SHELF))
def test_a_graph_makes_the_pictures_of_every_recipe(name: str, tmp_path: Path) -> None:
    needs_onnx()
    run, psi = made(tmp_path / "run", name), PSI.get(name, 1.0)
    if name == "progressive":  # the newest size has faded in by half
        run.sampler.G.stage.fill_(500_000)
        run.write_sampler(run.sampler, run.settings())
    path = deliver(run, psi=psi).path
    assert path == tmp_path / "run" / ("model.onnx" if psi == 1 else "model-psi-0.6.onnx")
    assert worst(path, run, psi) < 1e-5
    if psi != 1:
        assert worst(path, run, 1.0) > 1e-3
    inputs = {i.name: (i.type, i.shape[0]) for i in session(path).get_inputs()}
    labels = {"y": ("tensor(int64)", "batch")} if run.classes else {}
    assert inputs == {"z": ("tensor(float)", "batch"), **labels}


def test_points_and_numbers(tmp_path: Path) -> None:
    needs_onnx()
    points = made(tmp_path / "points", "gan", (2,), classes=[])
    assert worst(deliver(points).path, points) < 1e-5
    numbers = made(
        tmp_path / "numbers", "stylegan2", (1, 4, 4), classes=[], columns=["age", "size"], scaling=[[0, 1], [0, 1]],
        examples=[[0.1, 1.0], [0.7, -1.0], [-1.0, 0.2]],
    )  # fmt: skip
    assert worst(path := deliver(numbers).path, numbers) < 1e-5
    assert session(path).get_inputs()[1].shape == ["batch", 2]


def test_the_file_says_what_it_is_and_not_where_it_was_made(tmp_path: Path) -> None:
    needs_onnx()
    run = made(tmp_path / "run", "cgan")
    path = deliver(run, out=tmp_path / "new" / "g.onnx").path
    facts = session(path).get_modelmeta().custom_metadata_map
    assert facts["recipe"] == "cgan"
    assert json.loads(facts["arguments"]) == run.settings()["arguments"]
    assert json.loads(facts["shape"]) == [3, 8, 8]
    assert json.loads(facts["classes"]) == ["a", "b", "c"]
    assert facts["latent"] == "independent, standard normal"
    assert len(facts["weights_sha256"]) == 64
    raw = path.read_bytes()
    assert not any(place.encode() in raw for place in (str(Path(mulligan.__file__).parent), "/home/somebody", ".py"))


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_difference_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    needs_onnx()
    made(tmp_path / "run", "gan")
    before = left(tmp_path)
    monkeypatch.setattr(graphs, "TOLERANCE", 0.0)
    monkeypatch.setattr(graphs, "reference", lambda run, z, y=None: run.sampler.decode(z, y) + 0.01)
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "new" / "g.onnx")])
    assert stopped.value.code == 2
    assert "differ by 0.0" in capsys.readouterr().err
    assert left(tmp_path) == before


def test_a_generator_that_cannot_be_traced_is_told(tmp_path: Path) -> None:
    needs_onnx()

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 192)

        def forward(self, z: Tensor) -> Tensor:
            x = self.layer(z).view(-1, 3, 8, 8)
            return x if float(x.sum()) > 0 else -x

    run = made(tmp_path / "run", "gan")
    run.__dict__["sampler"] = Sampler(Odd(), 6).eval().requires_grad_(False)
    with pytest.raises(UserError, match="can't be written as ONNX"):
        graphs.write(run, tmp_path / "g.onnx", run.settings())


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path / "run", "gan")
    before = left(tmp_path)
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, type(sys)(package))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"needs {name}, .* pip install 'mulligan\[onnx\]'"):
        deliver(run)
    assert left(tmp_path) == before


def test_latents_are_shortened_as_the_sampler_does() -> None:
    z = torch.linspace(-6, 6, 1001)[:, None]
    for prior in ("normal", "uniform"):
        sampler = Sampler(nn.Linear(1, 1), 1, prior=prior)
        sampler.psi = 0.5
        assert float((shortened(z, 0.5, prior) - sampler.shortened(z)).abs().max()) < 1e-5


def test_the_plain_twin_leaves_the_sampler_as_it_is(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "progressive", classes=[])
    before = {name: value.clone() for name, value in run.sampler.state_dict().items()}
    twin = plain_twin(run.sampler)
    assert isinstance(twin.G.stage, int)
    assert before.keys() == run.sampler.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in run.sampler.state_dict().items())


def test_safetensors_come_back_as_a_run(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "projection")
    path = deliver(run, "safetensors", tmp_path / "g.safetensors").path
    assert b"/home/somebody" not in path.read_bytes()
    again = bring(path, tmp_path / "again")
    assert torch.equal(run.sample(5, seed=2), again.sample(5, seed=2))
    assert again.classes == ("a", "b", "c")


def test_what_strokes_have_changed_is_exported(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "gan")
    settings = {**run.settings(), "changes": {"lr": 0.125}}
    run.recipe_file.write_text(json.dumps(settings))
    path = deliver(run, "safetensors").path
    assert bring(path, tmp_path / "again").settings()["arguments"]["lr"] == 0.125


@pytest.mark.parametrize("name", PICTURES)
def test_an_official_state_goes_out_as_it_came_in(name: str, tmp_path: Path) -> None:
    f = fixture(name)
    bring(written(tmp_path / "network.pkl", f), tmp_path / "run")
    path = deliver(tmp_path / "run", "stylegan2-ada-state", tmp_path / "g.pt").path
    found = torch.load(path, weights_only=True)
    state, official = found["G_ema"], f.under("state/")
    assert state.keys() == official.keys()
    assert all(torch.equal(state[key], official[key].to(state[key].dtype)) for key in official)
    assert all(state[key].shape == official[key].shape for key in official)
    told = {**found["init_kwargs"].pop("synthesis_kwargs", {}), **found["init_kwargs"]}
    asked = {**f.config, **f.config.get("synthesis_kwargs", {})}
    for key in ("synthesis_kwargs", "resample_filter", "magnitude_ema_beta"):  # the last two change no picture of ours
        asked.pop(key, None)
    assert {key: told[key] for key in asked} == asked
    usual = {"num_fp16_res": 0, "conv_clamp": 256, "conv_kernel": 3, "use_radial_filters": False}
    assert all(told[key] == usual[key] for key in told.keys() - asked.keys())


def test_other_generators_have_no_official_state(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is dcgan: --to stylegan2-ada-state is for stylegan2 and stylegan3"):
        deliver(made(tmp_path / "a", "dcgan"), "stylegan2-ada-state")
    with pytest.raises(UserError, match="square"):
        deliver(made(tmp_path / "b", "stylegan2", (3, 8, 16)), "stylegan2-ada-state")
    with pytest.raises(UserError, match="start at 4×4"):
        deliver(made(tmp_path / "c", "stylegan2", (3, 28, 28)), "stylegan2-ada-state")
    assert not list(tmp_path.rglob("*.pt"))


def test_places_that_are_taken(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "gan")
    path = tmp_path / "g.safetensors"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists: name another --out, or add --force"):
        deliver(run, "safetensors", path)
    assert path.read_text() == "mine"
    deliver(run, "safetensors", path, force=True)
    assert path.stat().st_size > 1000
    with pytest.raises(UserError, match="is a folder: name a file"):
        deliver(run, "safetensors", tmp_path)
    with pytest.raises(UserError, match="no new or empty folder"):
        deliver(run, "hub-folder", tmp_path, force=True)


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "gan")
    with pytest.raises(UserError, match="take onnx, safetensors"):
        deliver(run, "tflite")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"--psi 0\.5 changes no weight"):
        deliver(run, "safetensors", psi=0.5)
    with pytest.raises(UserError, match="psi is 3"):
        deliver(run, "hub-folder", psi=3)
    with pytest.raises(UserError, match=r"no checkpoint of .* has a score"):
        deliver(run, "safetensors", checkpoint="best")
    with pytest.raises(UserError, match="no run at"):
        deliver(tmp_path / "nowhere", "safetensors")


def test_a_folder_for_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    run = made(tmp_path / "run", "cgan")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    main(["export", str(run.path), "--to", "hub-folder", "-o", str(tmp_path / "hub")])
    said = capsys.readouterr()
    assert said.out.splitlines() == ["model.onnx is left out", str(tmp_path / "hub")]
    assert "needs onnxruntime" in said.err
    assert left(tmp_path / "hub") == {"README.md", "config.json", "model.safetensors", "samples.png"}
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert (config["recipe"], config["shape"], config["classes"]) == ("cgan", [3, 8, 8], ["a", "b", "c"])
    assert torch.equal(bring(tmp_path / "hub" / "model.safetensors", tmp_path / "again").sample(3), run.sample(3))
    assert not any(b"/home/somebody" in path.read_bytes() for path in (tmp_path / "hub").iterdir())
    card = (tmp_path / "hub" / "README.md").read_text()
    assert card.startswith(
        '---\nlibrary_name: mulligan\nlicense: unknown\ntags:\n- "gan"\n- "mulligan"\n- "cgan"\n---\n'
    )
    assert "model.onnx" not in card


def test_a_hub_folder_has_the_graph_where_it_can_be_made(tmp_path: Path) -> None:
    needs_onnx()
    run = made(tmp_path / "run", "cgan")
    made_at = deliver(run, "hub-folder", psi=0.5)
    assert "model.onnx: ONNX Runtime and PyTorch differ by" in made_at.note
    assert worst(made_at.path / "model.onnx", run, 0.5) < 1e-5
    code = (made_at.path / "README.md").read_text().split("```python\n")[2].split("```")[0]
    told: dict[str, Any] = {}
    exec(code.replace("model.onnx", str(made_at.path / "model.onnx")), told)
    assert told["x"].shape == (16, 3, 8, 8)


def test_the_card_says_what_the_run_knows_and_no_more(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "gan", count=0, fingerprint="")
    text = deliver(run, "card").path.read_text()
    for line in ("- samples: unknown", "- fingerprint: unknown", "- real images seen: unknown", "- doctor: unknown",
                 "- time of the whole run: unknown", "- device: unknown", "None was measured."):  # fmt: skip
        assert line in text
    for row in ({"round": 5, "images": 50, "seconds": 40}, {"round": 9, "images": 90, "seconds": 30}):
        run.log(row)
    run.log({"event": "data", "text": "few pictures"})
    protocol = {"real": "photos", "real_count": 24, "seed": 0, "versions": {"torch": "2"}}
    run.add_score(
        {"name": "FID", "value": 12.3456, "error": 0.5, "better": "lower", "floor": 1.5, "protocol": protocol}
    )
    text = deliver(run, "card", force=True, verdict="healthy").path.read_text()
    for line in ("- real images seen: 90", "- rounds: 9", "- time of the whole run: 1:10", "- doctor: healthy",
                 "- event: few pictures", "**FID 12.35 ± 0.5**, lower is better; real against real 1.5",
                 "Protocol: real photos, real\\_count 24, seed 0"):  # fmt: skip
        assert line in text
    assert "model.onnx" not in text


def test_time_is_that_of_all_parts() -> None:
    assert seconds([]) == 0
    assert seconds([{"seconds": s} for s in (1, 5, 2, 3, 1)]) == 9


def test_words_of_strangers_are_no_markup(tmp_path: Path) -> None:
    name = "x](http://evil) <script>*a*\n# Licence: free"
    run = made(tmp_path / "run", "cgan", name=name, classes=["`a`", "<b>", "c|d"])
    text = deliver(run, "card").path.read_text()
    assert "<script>" not in text
    assert "\n# Licence" not in text
    assert "](http" not in text
    assert "labels: \\`a\\`, \\<b\\>, c\\|d" in text


def test_the_card_of_imported_weights_tells_their_licence(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "gan")
    facts = {
        "file": "g.pth", "bytes": 1, "sha256": "e" * 64, "network": "a generator", "from": "somewhere",
        "source": "", "licence": "for non-commercial use",
    }  # fmt: skip
    run.recipe_file.write_text(json.dumps({**run.settings(), "imported": facts}))
    text = deliver(run, "card").path.read_text()
    assert "\nlicense: other\n" in text
    assert "- licence: for non-commercial use" in text
    assert "- source: unknown" in text
    assert "nothing is known of their training" in text
