"""mulligan compare: what is said to be better, what isn't, and a page that holds whatever a run folder says."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mulligan
from mulligan import UserError, job, verbs
from mulligan.assess import comparison_cost, comparison_scores, comparison_words
from mulligan.assess.compare import Comparison, compare, labels
from mulligan.cli import main

from . import helpers

PROTOCOL: dict[str, Any] = {
    "extractor": "mnist", "extractor_sha256": "1a2b3c4d" * 8, "real": "digits", "fingerprint": "ab" * 32,
    "split": "train", "real_count": 1797, "fake": "run", "fake_count": 50_000, "weights": "ema",
    "checkpoint": "newest", "seed": 0, "repeats": 3, "settings": {"k": 3}, "device": "cpu",
    "versions": {"mulligan": "0.1.0", "torch": "2.13"},
}  # fmt: skip
FD = "fd_mnist@1a2b3c4d"


def score(name: str = FD, value: float | None = 12.0, error: float | None = 0.2, **changed: Any) -> dict[str, Any]:
    """A line of scores.jsonl; what isn't a field of it changes the protocol."""
    line = {
        "time": "2026-11-26T18:00:00+00:00", "metric": "fid", "name": name, "value": value, "error": error,
        "values": [value], "better": "lower", "floor": None, "note": "", "round": 10, "images": 640, "training": False,
    }  # fmt: skip
    own = {key: changed.pop(key) for key in list(changed) if key in line}
    return {**line, **own, "protocol": {**PROTOCOL, **changed}}


def write(run: Path, *lines: dict[str, Any] | str) -> None:
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (run / "scores.jsonl").write_text(text, encoding="utf-8")


def log(run: Path, *rows: dict[str, Any]) -> None:
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: lambda *_: None)
        for name, recipe, data, more in (
            ("a", "dcgan", "digits", {"width": 4}),
            ("b", "cgan", "digits", {"width": 4}),
            ("ring-a", "gan", "ring", {}),
            ("ring-b", "dcgan", "ring", {"width": 8}),
        ):
            mulligan.train(recipe, data, out=folder / name, images=640, batch=64, latent=8, device="cpu", **more)
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs in the current folder, without their logs: drawing them takes a second each time."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("log.jsonl"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def quick(*runs: str | Path) -> Comparison:
    """What is found without samples and without a page."""
    return compare(runs or ("a", "b"), None, samples=False, device="cpu", progress=False)


def line(found: Comparison, name: str = FD) -> comparison_scores.Line:
    (one,) = [each for each in found.scores if each.name == name]
    return one


class Reading(HTMLParser):
    """Tags and words of a page; the words of the style sheet are not among them."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def pictures(self, start: str = "") -> list[Image.Image]:
        sources = [at["src"] or "" for tag, at in self.tags if tag == "img" and (at["alt"] or "").startswith(start)]
        return [Image.open(io.BytesIO(base64.b64decode(each.partition("base64,")[2]))) for each in sources]


# the page and the command


def test_a_page_and_a_table(here: Path, trained: Path, capsys: pytest.CaptureFixture[str]):
    for name in "ab":
        shutil.copy(trained / name / "log.jsonl", here / name)
    write(here / "a", score(value=12.0, floor=1.1, note="not comparable with FID"))
    write(here / "b", score(value=13.0))
    main(["compare", "a", "b", "--device", "cpu", "-n", "4"])
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "compare.html"
    assert "WARNING" not in said
    assert re.search(rf"{FD} ↓ +12.00 ± 0.20 \* +13.00 ± 0.20 +1.100 +a is best", said)
    assert re.search(r"recipe +dcgan +cgan\n", said)
    assert re.search(r"images seen +640 +640\n", said)
    page = Reading(here / "compare.html")
    for part in ("a and b compared", "not comparable with FID", "lower is better", "at 640 images", "D(G(z))"):
        assert part in page.text or any(part in (at.get("alt") or "") for _, at in page.tags), part
    assert [at.get("class") for tag, at in page.tags if tag == "td" and at.get("class") == "best"] == ["best"]
    assert "4 samples, seed 0, the 10 labels in turn" in page.text
    assert len(page.pictures("samples of ")) == 2
    assert len(page.pictures("loss of ")) == 2


def test_the_page_needs_no_network_and_no_script(here: Path):
    log(here / "a", {"images": 1, "loss_G": 1})
    compare(["a", "b"], "out/page.html", n=1, device="cpu", progress=False)
    page = Reading(here / "out" / "page.html")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    (policy,) = [at["content"] for tag, at in page.tags if at.get("http-equiv") == "Content-Security-Policy"]
    assert (policy or "").startswith("default-src 'none'; img-src data:;")
    assert page.pictures("loss of ")
    addresses = [value for _, at in page.tags for key, value in at.items() if key in ("src", "href", "srcset")]
    assert addresses
    assert all((value or "").startswith("data:image/png;base64,") for value in addresses)
    assert "url(" not in (here / "out" / "page.html").read_text(encoding="utf-8")


def test_samples_are_those_of_the_seed(here: Path):
    compare(["a", "b"], "page.html", seed=5, n=9, device="cpu", progress=False)
    from mulligan.media.image import grid

    for name, shown in zip(("a", "b"), Reading(here / "page.html").pictures("samples of "), strict=True):
        made = grid(mulligan.load(here / name, "cpu").sample(9, 5))
        assert shown.tobytes() == made.tobytes()


def test_points_are_drawn_over_the_same_data(here: Path):
    compare(["ring-a", "ring-b"], "page.html", n=4, device="cpu", progress=False)
    page = Reading(here / "page.html")
    assert page.text.count("2,000 samples, seed 0") == 2
    first, second = page.pictures("samples of ")
    axis = (0, 0, 45, first.height)
    assert first.crop(axis).tobytes() == second.crop(axis).tobytes()
    assert first.tobytes() != second.tobytes()
    from mulligan.assess.comparison_samples import reference

    assert torch.equal(
        reference(mulligan.load("ring-a").settings()["data"])[:5], verbs.open_source("ring").tensors["x"][:5]
    )
    assert reference({"name": "ring", "fingerprint": "another draw"}) is None
    assert reference({"name": "points.npy"}) is None


def test_without_samples_nothing_is_drawn(here: Path):
    found = compare(["a", "b"], "page.html", samples=False, device="cpu", progress=False)
    assert found.sheets == []
    assert "Samples" not in Reading(here / "page.html").text


# wrong input

WRONG = {
    "one run": ("a", "at least two runs, 1 named"),
    "none": ("", "at least two runs, 0 named"),
    "twice": ("a a", "a is named twice: name each run once"),
    "twice by other names": ("a ../{here}/a", "is named twice (also as a)"),
    "no folder": ("a c", "no run at c: there is no such folder"),
    "no run": ("a things", "things is not a run folder: it has no recipe.json"),
    "another file": ("a b --out mine.html", "mine.html is there and no page of compare"),
    "a folder": ("a b --out things.html", "things.html is a folder"),
    "not a page": ("a b --out page.pdf", "--out page.pdf: the page is written as .html"),
    "below a file": ("a b --out mine.html/page.html", "can't write mine.html/page.html"),
    "no samples": ("a b -n 0", "-n 0: take 1 to 1,000 samples"),
    "too many": ("a b -n 1001", "-n 1001: take 1 to 1,000 samples"),
    "device": ("a b --device tpu", "tpu"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_changes_nothing(case: str, here: Path, capsys: pytest.CaptureFixture[str]):
    words, answer = WRONG[case]
    (here / "things").mkdir()
    (here / "things.html").mkdir()
    (here / "mine.html").write_text("<p>my page on mulligan compare</p>")
    before = helpers.tree_hash(here)
    with pytest.raises(SystemExit) as left:
        main(["compare", *words.format(here=here.name).split()])
    said = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2
    assert answer in said
    assert "Traceback" not in said
    assert helpers.tree_hash(here) == before


def test_its_own_page_is_written_again(here: Path):
    compare(["a", "b"], "page.html", samples=False, device="cpu")
    first = (here / "page.html").read_text(encoding="utf-8")
    write(here / "a", score())
    compare(["a", "b"], "page.html", samples=False, device="cpu")
    assert (here / "page.html").read_text(encoding="utf-8") != first


# which score is the best


@pytest.mark.parametrize(
    ("a", "b", "better", "best", "verdict"),
    [
        ((12, 0.2), (13, 0.2), "lower", 0, "a is best"),
        ((12, 0.2), (13, 0.2), "higher", 1, "b is best"),
        ((12, 0.6), (13, 0.5), "lower", None, "within error"),
        ((12, 0.5), (13, 0.5), "lower", None, "within error"),
        ((12, 0.5), (13, 0.4), "lower", 0, "a is best"),
        ((12, 0.0), (12, 0.0), "lower", None, "within error"),
        ((12, None), (13, 0.2), "lower", None, "no error known"),
        ((12, 0.2), (13, 0.2), "", None, ""),
        ((12, 0.2), (None, None), "lower", None, "not finite"),
        ((12, 0.2), (float("inf"), 0.1), "lower", None, "not finite"),
    ],
)
def test_the_best_is_marked_only_beyond_the_errors(
    a: tuple[Any, Any], b: tuple[Any, Any], better: str, best: int | None, verdict: str, here: Path
):
    write(here / "a", score(value=a[0], error=a[1], better=better))
    write(here / "b", score(value=b[0], error=b[1], better=better))
    found = line(quick())
    assert (found.best, found.verdict) == (best, verdict)
    assert ("*" in str(quick()).partition("cost")[0]) == (best is not None)


def test_of_three_runs_the_close_ones_are_named(here: Path):
    shutil.copytree(here / "b", here / "c")
    for name, value in (("a", 20.0), ("b", 12.0), ("c", 12.3)):
        write(here / name, score(value=value))
    assert line(quick("a", "b", "c")).verdict == "within error: b and c"
    write(here / "c", score(value=13.0))
    assert line(quick("a", "b", "c")).verdict == "b is best"


def test_different_protocols_are_told_and_nothing_is_marked(here: Path):
    write(here / "a", score(split="train"), score("kd_mnist@1a2b3c4d", split="train"))
    write(
        here / "b",
        score(value=99, split="test", fake_count=2000),
        score("kd_mnist@1a2b3c4d", split="test", fake_count=2000),
    )
    found = quick()
    assert found.warnings == [
        f"not comparable: {FD}, kd_mnist@1a2b3c4d of a and b differ in split (train and test), "
        "fake_count (50,000 and 2,000)"
    ]
    assert (line(found).best, line(found).verdict) == (None, "not comparable")
    assert str(found).startswith("WARNING  not comparable: fd_")
    compare(["a", "b"], "page.html", samples=False, device="cpu")
    text = Reading(here / "page.html").text
    assert text.index("not comparable: fd_") < text.index("Scores")


@pytest.mark.parametrize(
    ("changed", "strong", "weak"),
    [
        ({"fake": "folder", "checkpoint": "best"}, "", ""),
        ({"device": "cuda", "seed": 7}, "", "differ in seed (0 and 7), device (cpu and cuda)"),
        ({"versions": {"mulligan": "0.1.0", "torch": "9"}}, "", "differ in versions.torch (2.13 and 9)"),
        ({"settings": {"k": 5}}, "differ in settings.k (3 and 5)", ""),
        ({"weights": "live"}, "differ in weights (ema and live)", ""),
        ({"real": "/data/digits"}, "", ""),
        (
            {"real": "x", "fingerprint": "cd" * 32},
            "differ in real (digits and x), fingerprint (abababab and cdcdcdcd)",
            "",
        ),
        ({"resize": "none"}, "differ in resize (not recorded and none)", ""),
        ({"better": "higher"}, "differ in better (lower and higher)", ""),
        ({"training": True}, "differ in taken (afterwards and while training)", ""),
    ],
)
def test_what_counts_as_another_protocol(changed: dict[str, Any], strong: str, weak: str, here: Path):
    write(here / "a", score())
    write(here / "b", score(value=99, **changed))
    found = line(quick())
    assert (found.differing, found.weakly) == (strong, weak)
    assert (found.best is None) == bool(strong)
    assert bool(quick().warnings) == bool(strong)
    assert ("remark   " in str(quick())) == bool(weak)


@pytest.mark.parametrize(("a", "b", "strong"), [("even", "", False), ("", "even", False), ("even", "real", True)])
def test_a_run_without_labels_has_no_other_law_of_labels(a: str, b: str, strong: bool, here: Path):
    write(here / "a", score(labels=a))
    write(here / "b", score(labels=b))
    assert bool(line(quick()).differing) == strong


def test_scores_without_a_protocol_are_not_comparable(here: Path):
    write(here / "a", {**score(), "protocol": None})
    write(here / "b", {**score(value=99), "protocol": "?"})
    assert quick().warnings == [f"not comparable: {FD} of a and b have no whole protocol on record"]
    assert line(quick()).best is None


def test_different_networks_stand_in_rows_of_their_own(here: Path):
    write(here / "a", score(FD))
    write(here / "b", score("fd_mnist@bbbbbbbb", extractor_sha256="b" * 64))
    found = quick()
    assert found.warnings == [
        f"not comparable: {FD} (a) and fd_mnist@bbbbbbbb (b) look through different networks, so they stand in "
        "different rows"
    ]
    assert [each.verdict for each in found.scores] == ["one run only", "one run only"]
    write(here / "b", score("fd_mnist@bbbbbbbb"), score(FD))
    assert quick().warnings == [], "one network in common is enough"


def test_what_a_run_lacks_is_a_dash(here: Path):
    write(here / "a", score())
    write(here / "b", score("is", better="higher"))
    assert re.search(rf"{FD} ↓ +12.00 ± 0.20 +– ", str(quick()))
    assert re.search(r"is ↑ +– +12.00 ± 0.20 ", str(quick()))


def test_the_latest_evaluation_counts_and_else_the_best_of_training(here: Path):
    taken = [score(value=value, error=None, training=True, images=i) for i, value in enumerate((30.0, 14.0, 20.0))]
    write(here / "a", score(value=50), score(value=12), *taken)
    write(here / "b", *taken, '{"name": "fd_mnist@1a2b3c4d", "val')
    found = quick()
    assert [cell and cell["value"] for cell in line(found).cells] == [12, 14]
    assert "14.00 (training)" in str(found)
    assert line(found).verdict == "not comparable"
    write(here / "b", *[{**row, "better": "higher"} for row in taken])
    assert [cell and cell["value"] for cell in line(quick()).cells] == [12, 30]


def test_scores_over_images_are_drawn_from_training(here: Path):
    write(here / "a", *[score(value=20 - i, training=True, images=64 * i) for i in range(3)])
    write(here / "b", score(value=9, training=True, images=64, fake_count=10), score(value=1, images=640))
    ((title, curves, apart), *_) = quick().curves
    assert title == FD
    assert curves == [([0, 64, 128], [20, 19, 18]), ([64], [9])]
    assert apart == "differ in fake_count (50,000 and 10)"
    compare(["a", "b"], "page.html", samples=False, device="cpu")
    assert "Not comparable: they differ in fake_count" in Reading(here / "page.html").text


# cost and settings


def test_the_seconds_of_all_parts_are_summed(here: Path):
    log(
        here / "a",
        {"images": 64, "seconds": 10.0, "joules": 1000},
        {"images": 128, "seconds": 100.0, "joules": 7200},
        {"images": 130, "event": "non-finite", "text": "…"},
        {"images": 192, "seconds": 5.0, "joules": 300},
        {"images": 3000, "seconds": 20.0, "joules": 3600},
    )
    log(here / "b", {"images": 64, "seconds": 8.0, "joules": 3600}, {"images": 128, "seconds": 4.0})
    a, b = quick().costs
    assert (a.images, a.seconds, a.joules, a.partly) == (3000, 120, 10_800, False)
    assert (b.images, b.seconds, b.joules, b.partly) == (128, 12, 3600, True)
    text = str(quick())
    assert re.search(r"time +2:00 +12.0 s\n", text)
    assert re.search(r"images per second +25 +11\n", text)
    assert re.search(r"energy +3 Wh +at least 1 Wh\n", text)


def test_parameters_and_bytes_are_read_from_the_file(here: Path):
    run = mulligan.load("a", "cpu")
    first, second = quick().costs
    assert first.parameters == sum(p.numel() for p in run.sampler.parameters())
    assert first.bytes == (here / "a" / "sampler.safetensors").stat().st_size
    (here / "a" / "sampler.safetensors").write_bytes(b"damaged")
    (here / "b" / "sampler.safetensors").unlink()
    assert [(cost.parameters, cost.bytes) for cost in quick().costs] == [(None, None)] * 2
    assert second.joules is None
    assert re.search(r"energy +unknown +unknown\n", str(quick()))


def test_different_data_are_warned_about(here: Path):
    found = quick("a", "ring-a")
    assert len(found.warnings) == 1
    assert re.fullmatch(
        r"different data: a learned from digits \(1,797 × 1×8×8, fingerprint \w{8}\) and ring-a learned from ring "
        r"\(100,000 × 2, fingerprint \w{8}\)",
        found.warnings[0],
    )
    rows = {name: values for name, *values in found.settings}
    assert rows["recipe"] == ["dcgan", "gan"]
    assert rows["data.source"] == ["digits", "ring"]
    assert rows["width"] == ["4", "–"]
    assert "seed" not in rows


def test_runs_without_differences(here: Path):
    shutil.copytree(here / "a", here / "again")
    found = quick("a", "again")
    assert (found.settings, found.warnings) == ([], [])
    compare(["a", "again"], "page.html", samples=False, device="cpu")
    assert "recipe, arguments, data and versions are the same" in Reading(here / "page.html").text


# folders that are unfinished, damaged, or from somebody else


def test_a_run_without_weights_shows_its_newest_sheet(here: Path):
    (here / "a" / "sampler.safetensors").unlink()
    shutil.rmtree(here / "a" / "checkpoints")
    found = compare(["a", "b"], "page.html", n=4, device="cpu", progress=False)
    assert found.sheets[0].picture == ""
    assert found.sheets[0].caption == "no samples from seed 0: a has no weights yet: train it to its first checkpoint"
    assert found.sheets[1].picture
    for name, colour in (("0000000010.png", 10), ("0000000640.png", 200)):
        Image.new("L", (4, 4), colour).save(here / "a" / "samples" / name)
    compare(["a", "b"], "page.html", n=4, device="cpu", progress=False)
    page = Reading(here / "page.html")
    assert "a has no weights yet" in page.text
    assert "the newest sheet of its training, 0000000640.png" in page.text
    assert page.pictures("samples of a")[0].getpixel((0, 0)) == 200


def test_a_recipe_file_of_a_stranger_is_not_run(here: Path):
    (here / "evil.py").write_text("open('ran', 'w')")
    settings = json.loads((here / "a" / "recipe.json").read_text())
    (here / "a" / "recipe.json").write_text(json.dumps({**settings, "recipe": f"{here}/evil.py:gan", "sha256": "0"}))
    found = compare(["a", "b"], "page.html", n=4, device="cpu", progress=False)
    assert "has changed since the run was trained" in found.sheets[0].caption
    assert not (here / "ran").exists()


def test_what_is_called_a_sheet_but_is_none_stays_out(here: Path):
    (here / "a" / "sampler.safetensors").unlink()
    shutil.rmtree(here / "a" / "checkpoints")
    (here / "secret").write_text("the user's own words")
    (here / "a" / "samples" / "1.png").symlink_to(here / "secret")
    assert compare(["a", "b"], "page.html", n=4, device="cpu", progress=False).sheets[0].picture == ""


def test_a_folder_with_nothing_but_arguments_is_compared(here: Path):
    bare = here / "bare"
    bare.mkdir()
    (bare / "recipe.json").write_text('{"arguments": {}, "data": 3, "versions": []}')
    (bare / "scores.jsonl").write_text('[1]\n{"name": 3, "value": 1}\n{"name": "x", "value": "y"}\n{"name": "z"}\n')
    (bare / "log.jsonl").write_text('{"images": "many", "seconds": null, "loss_G": [1]}\n{"im')
    found = compare(["bare", "b"], "page.html", n=4, device="cpu", progress=False)
    assert found.scores == []
    assert found.costs[0] == comparison_cost.Cost(None, None, None, False, None, None)
    assert found.sheets[0].caption.startswith("no samples from seed 0: TypeError")
    assert found.warnings[0].startswith("data not known to be the same: bare learned from data that isn't on record")


def test_hostile_words_stay_words(here: Path):
    evil = '<script>alert("x")</script>'
    shutil.move(here / "a", here / '<img src=x onerror="1">')
    shutil.move(here / "b", here / "_$\\frac{$")
    runs = ['<img src=x onerror="1">', "_$\\frac{$"]
    for name in runs:
        path = here / name / "recipe.json"
        settings = json.loads(path.read_text())
        settings["arguments"] |= {evil: f"{name}{evil}"}
        settings["data"]["source"] = evil + name
        settings["data"]["fingerprint"] = evil + name
        path.write_text(json.dumps(settings))
        log(here / name, *[{"images": i, f"loss_{evil}$^": 1.0, "loss__$": 2} for i in range(3)])
        write(
            here / name,
            score(evil + "\x1b[31m", note=evil, **{evil: name, "split": evil + name}),
            score("$x^$", training=True),
        )
    found = compare(runs, "page.html", n=1, device="cpu", progress=False)
    page = Reading(here / "page.html")
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    assert not any("onerror" in at for _, at in page.tags)
    assert page.text.count('alert("x")') > 5
    assert "\x1b" not in str(found) + page.text


def test_names_are_as_long_as_tells_them_apart(tmp_path: Path):
    assert labels([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    assert labels([tmp_path / "x" / "run", tmp_path / "y" / "go"]) == ["run", "go"]


def test_an_unwritable_page_is_told(here: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mulligan.assess.compare.write_page", full)
    with pytest.raises(UserError, match=r"can't write page.html \(No space left on device\)"):
        compare(["a", "b"], "page.html", samples=False, device="cpu")


# words and numbers


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.3456, 0.2, "12.35 ± 0.20"), (12.3456, None, "12.35"), (0.812345, 0.0041, "0.8123 ± 0.0041"),
        (12345.6, 210.0, "12,346 ± 210"), (12345.6, None, "12,346"), (0, None, "0"), (0, 0, "0 ± 0"),
        (5, 0, "5.000 ± 0.000"), (1.2e-9, 3e-10, "1.200e-09 ± 3.0e-10"), (-0.5, 0.01, "-0.500 ± 0.010"),
    ],
)  # fmt: skip
def test_numbers_have_as_many_digits_as_their_error(value: float, error: float | None, text: str):
    assert comparison_scores.measured(value, error) == text


def test_words():
    assert comparison_words.joined([]) == ""
    assert comparison_words.joined(["a"]) == "a"
    assert comparison_words.joined("abc") == "a, b and c"
    assert comparison_words.listed([50_000, 2000]) == "50,000 and 2,000"
    assert comparison_words.listed([50_000, 2000, ""]) == "50,000 / 2,000 / none"
    assert comparison_words.short("ab" * 32) == "abababab"
    assert len(comparison_words.short("x" * 500)) == comparison_words.LONGEST
    assert comparison_words.short(True) == "True"
