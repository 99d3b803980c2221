"""The page that people judge on, and the human error rate of their answers."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mulligan import job, verbs
from mulligan.assess.judge import judge
from mulligan.assess.judgements import FORMAT, RESAMPLES, bootstrap, masked, score_judgements, table, wilson
from mulligan.cli import main
from mulligan.core.errors import UserError
from mulligan.experiment import Experiment

from . import helpers

RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Red pictures, the real ones, and blue ones, each with a level of its own in the green channel."""
    made = []
    for name, (r, _, b) in (("real", RED), ("fake", BLUE)):
        folder = tmp_path_factory.mktemp("data") / name
        folder.mkdir()
        for i in range(30):
            Image.new("RGB", (8, 6), (r, i, b)).save(folder / f"{i}.png")
        made.append(folder)
    return made[0], made[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of labels that has hardly learned."""
    path = tmp_path_factory.mktemp("runs") / "cgan"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        verbs.train("cgan", "digits", out=path, images=32, batch=8, width=4, latent=4, device="cpu")
    return path


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with code 2 and change nothing here; gives what it said."""

    def check(*words: str) -> str:
        before = helpers.tree_hash(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["judge", *words])
        said = capsys.readouterr().err
        assert left.value.code == 2, said
        assert helpers.tree_hash(tmp_path) == before, "something was written"
        assert "Traceback" not in said
        return said

    return check


def content(page: Path) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    return json.loads(found[1])


def picture(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def key(page: dict[str, Any]) -> str:
    return masked(base64.b64decode(page["key"]), page["id"]).decode()


def is_real(text: str) -> bool:
    pixel = picture(text).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel[0] == RED[0]


def test_one_of_each_pair_is_real_and_the_key_says_which(folders: tuple[Path, Path]):
    real, fake = folders
    page = content(judge(fake=fake, real=real, pairs=20))
    sides = ["L" if is_real(left) else "R" for left, right in page["pairs"]]
    assert all(is_real(left) != is_real(right) for left, right in page["pairs"])
    assert len(sides) == 3 + 20
    assert key(page) == "".join(sides[3:])
    assert sides[3:].count("L") == 10
    assert key(page) not in json.dumps(page)
    shown = [picture(text).tobytes() for pair in page["pairs"] for text in pair]
    assert len(set(shown)) == len(shown), "no picture twice"
    greens = [[picture(text).getpixel((0, 0))[1] for text in pair] for pair in page["pairs"]]  # type: ignore[index]
    assert sum(a == b for a, b in greens) < 6, "real and generated ones are drawn apart"


def test_pictures_of_a_pair_differ_in_nothing_but_what_they_show(run: Path, folders: tuple[Path, Path]):
    for page in (judge(run, pairs=10), judge(fake=folders[1], real=folders[0], pairs=10)):
        found = [picture(text) for pair in content(page)["pairs"] for text in pair]
        assert len({(p.size, p.mode, p.format, str(p.info)) for p in found}) == 1


def test_the_same_wish_gives_the_same_page_and_another_seed_another(folders: tuple[Path, Path]):
    real, fake = folders
    pages = [judge(fake=fake, real=real, pairs=10, seed=s, out=f"{i}.html") for i, s in enumerate((0, 0, 1))]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    first, other = content(pages[0]), content(pages[2])
    assert first["id"] != other["id"]
    assert key(first) != key(other)
    assert first["pairs"] != other["pairs"]


def test_a_page_is_one_file_that_may_load_nothing(run: Path):
    text = judge(run, pairs=5).read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
    assert not re.search(r"https?:|@@| src=|<link|@import|url\(", text)


def test_a_run_gives_its_own_pictures_in_an_order_that_does_not_show_its_classes(run: Path):
    path = judge(run, pairs=20, seed=3)
    assert path == run / "judge-seed-3.html"
    page = content(path)
    made = list(((Experiment(run).sample(23, 3) + 1) * 127.5).round().to(torch.uint8))
    sides = key(page)
    fakes = [np.asarray(picture(pair[side == "L"])) for pair, side in zip(page["pairs"][3:], sides)]
    order = [next(i for i, x in enumerate(made) if np.array_equal(x[0].numpy(), fake)) for fake in fakes]
    assert len(set(order)) == 20
    assert order != sorted(order)
    assert page["about"] == {"fake": f"{run.name} (cgan, 32 images)", "real": "digits", "seed": 3, "shape": [1, 8, 8]}


def test_other_real_pictures_come_in_the_size_of_the_run(run: Path, folders: tuple[Path, Path]):
    page = content(judge(run, pairs=5, reference=folders[0], out="page.html"))
    assert page["about"]["real"] == "real"
    assert {picture(text).size for pair in page["pairs"] for text in pair} == {(8, 8)}


def test_transparent_pictures_are_laid_on_white(tmp_path: Path):
    for name, colour in (("real", (*RED, 255)), ("fake", (*BLUE, 0))):
        (tmp_path / name).mkdir()
        Image.new("RGBA", (8, 8), colour).save(tmp_path / name / "0.png")
    page = content(judge(fake=tmp_path / "fake", real=tmp_path / "real", pairs=1, channels=4))
    assert {picture(text).getpixel((0, 0)) for text in page["pairs"][0]} == {RED, (255, 255, 255)}


def test_pictures_are_resized_only_when_asked(tmp_path: Path):
    for name, colour in (("real", RED), ("fake", BLUE)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (300, 280), colour).save(tmp_path / name / "0.png")
    assert content(judge(fake=tmp_path / "fake", real=tmp_path / "real", pairs=1))["size"] == [280, 300]
    Image.new("RGB", (30, 28), BLUE).save(tmp_path / "fake" / "1.png")
    with pytest.raises(UserError, match=r"of different sizes.*Give --size"):
        judge(fake=tmp_path / "fake", real=tmp_path / "real", pairs=1)
    assert content(judge(fake=tmp_path / "fake", real=tmp_path / "real", pairs=1, size=(28, 28)))["size"] == [28, 28]


def test_practice_takes_what_is_left(folders: tuple[Path, Path]):
    real, fake = folders
    for pairs, practice in ((27, 3), (29, 1), (30, 0)):
        page = content(judge(fake=fake, real=real, pairs=pairs))
        assert (page["practice"], len(page["pairs"])) == (practice, pairs + practice)


def test_names_can_not_leave_the_script(tmp_path: Path, folders: tuple[Path, Path]):
    odd = tmp_path / "<!--<script>"
    odd.mkdir()
    Image.new("RGB", (8, 6)).save(odd / "0.png")
    page = judge(fake=odd, real=folders[0], pairs=1)
    assert "<!--" not in page.read_text("utf-8")
    assert content(page)["about"]["fake"] == "<!--<script>"


def test_data_that_changed_since_is_told(tmp_path: Path, run: Path, folders: tuple[Path, Path], capsys: Any):
    judge(run, pairs=2)
    assert "has changed" not in capsys.readouterr().err
    moved, settings = tmp_path / "moved", Experiment(run).settings()
    settings["data"]["source"] = str(folders[0])
    moved.mkdir()
    (moved / "recipe.json").write_text(json.dumps(settings))
    (moved / "sampler.safetensors").write_bytes((run / "sampler.safetensors").read_bytes())
    judge(moved, pairs=2)
    said = capsys.readouterr().err
    assert f"{folders[0]} has changed since {moved} was trained on it" in said
    assert "discriminator" not in said


WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "nothing to judge: name a run folder (mulligan judge RUN), pictures of any program (--fake"),
    "no run": ("nowhere", "no run at nowhere"),
    "run and fake": ("RUN --fake FAKE", "a run has its own generated pictures and their size: leave out --fake"),
    "run and size": ("RUN --size 16", "a run has its own generated pictures and their size"),
    "fake alone": ("--fake FAKE", "--real is missing"),
    "real alone": ("--real REAL", "--fake is missing"),
    "reference without run": ("--fake FAKE --real REAL --reference digits", "here --real names the real pictures"),
    "sizes": (
        "--fake FAKE --real digits",
        "FAKE has 6x8 pixels with 3 channels, digits has 8x8 pixels with 1 channel: bring both to one, for example "
        "with --size 6x8 --channels 1",
    ),
    "points": ("--fake ring --real moons", "ring consists of points, and people judge pictures"),
    "no pairs": ("RUN --pairs 0", "--pairs 0: at least 1"),
    "too many": ("--fake FAKE --real REAL --pairs 31", "--pairs 31, but fake has 30 pictures"),
    "seconds": ("RUN --seconds -1", "--seconds -1: give the seconds"),
    "not a second": ("RUN --seconds nan", "--seconds nan"),
    "out": ("RUN --out page.txt", "--out page.txt: name a .html"),
    "out in a file": ("RUN --pairs 2 --out note.txt/page.html", "can't write note.txt/page.html"),
    "reference": ("RUN --reference photos/", "These would be the real pictures: name them with --reference"),
    "split": ("RUN --split test", "digits has no test split"),
    "score and run": ("RUN --score a.json", "--score reads results files and needs nothing else"),
    "score and fake": ("--score a.json --fake FAKE", "--score reads results files and needs nothing else"),
    "score of nothing": ("--score", "--score needs at least one results file"),
    "score of nowhere": ("--score a.json", "there is no results file a.json"),
    "score of a text": ("--score note.txt", "note.txt is no results file: name the .json that the page's button"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_told_and_writes_nothing(
    name: str, run: Path, folders: tuple[Path, Path], refused: Callable[..., str]
):
    Path("note.txt").write_text("a file")
    names = {"RUN": str(run), "REAL": str(folders[0]), "FAKE": str(folders[1])}
    words, message = WRONG[name]
    before = helpers.tree_hash(run)
    said = refused(*[names.get(word, word) for word in words.split()])
    assert message in said.replace(names["FAKE"], "FAKE")
    assert helpers.tree_hash(run) == before


def test_a_run_of_points_is_refused(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "previewer", lambda *_: None)
    verbs.train("gan", "ring", out="points", images=32, batch=16, device="cpu")
    assert "points makes points, and people judge pictures" in refused("points")


def test_the_command_ends_with_the_path(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]):
    main(["judge", "--fake", str(folders[1]), "--real", str(folders[0]), "--pairs", "4", "--size", "16"])
    said = capsys.readouterr()
    assert said.out == "judge-seed-0.html\n"
    assert "mulligan judge --score FILE" in said.err
    assert content(Path("judge-seed-0.html"))["size"] == [16, 16]


def results(path: Path, wrong: list[bool], judge: str = "a", page: str = "0123abcd", **other: Any) -> Path:
    """A results file as the page saves it, of pairs whose real picture is left and right in turn."""
    sides = ["LR"[i % 2] for i in range(len(wrong))]
    said = {"L": ("left", "right"), "R": ("right", "left")}
    answers = [{"pair": i + 1, "answer": said[sides[i]][w], "ms": 100 * (i + 1)} for i, w in enumerate(wrong)]
    found = {
        "format": FORMAT, "version": 1, "page": page, "pairs": len(wrong), "seconds": 1, "judge": judge,
        "key": base64.b64encode(masked("".join(sides).encode(), page)).decode(),
        "about": {"fake": "mine", "real": "photos"}, "answers": answers,
    }  # fmt: skip
    path.write_text(json.dumps(found | other), "utf-8")
    return path


def pattern(wrong: int, answers: int) -> list[bool]:
    return [i < wrong for i in range(answers)]


def test_the_error_rate_of_one_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = results(tmp_path / "a.json", pattern(3, 10))
    (score,) = score_judgements([file])
    assert (score.judges, score.answers, score.wrong, score.error) == (1, 10, 3, 0.3)
    assert (score.low, score.high) == pytest.approx((0.1078, 0.6032), abs=1e-4)  # Wilson, 3 of 10
    assert score.median_seconds == pytest.approx(0.55)
    main(["judge", "--score", str(file)])
    said = capsys.readouterr().out
    for part in ("mine", "photos", "30.0 %", "10.8 % to 60.3 %", "after 0.55 s", "Interval: Wilson."):
        assert part in said
    assert "50 % lies within the interval" in said


def test_what_it_means(tmp_path: Path):
    meanings = [score_judgements([results(tmp_path / "a.json", pattern(n, 50))])[0].meaning for n in (5, 25, 45)]
    assert meanings[0].startswith("The interval lies below 50 %")
    assert "10.0 % of the pairs" in meanings[0]
    assert meanings[1].startswith("50 % lies within the interval")
    assert meanings[2].startswith("The interval lies above 50 %")


@pytest.mark.parametrize(
    ("wrong", "answers", "interval"), [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1.0))]
)
def test_the_interval_of_wilson(wrong: int, answers: int, interval: tuple[float, float]):
    assert wilson(wrong, answers) == pytest.approx(interval, abs=1e-4)


def test_the_interval_of_several_judges_counts_how_they_differ(tmp_path: Path):
    alike = [results(tmp_path / f"a{i}.json", pattern(10, 40), f"a{i}") for i in range(12)]
    apart = [results(tmp_path / f"b{i}.json", pattern(20 * (i % 2), 40), f"b{i}") for i in range(12)]
    (same,), (differ,) = score_judgements(alike), score_judgements(apart)
    assert same.error == differ.error == 0.25
    assert differ.high - differ.low > 1.8 * (same.high - same.low)
    assert f"{RESAMPLES:,} resamples" in same.method
    assert same.notes == ()
    assert score_judgements(apart) == [differ], "seeded"
    assert score_judgements(apart, seed=1) != [differ]


def test_the_bootstrap_has_the_spread_of_judges_plus_that_of_answers():
    draw, n, judges = np.random.default_rng(0), 50, 30
    rates = draw.uniform(0.2, 0.6, judges)
    wrong = draw.random((judges, n)) < rates[:, None]
    found = wrong.mean(1)
    spread = np.sqrt((found.var() + (found * (1 - found) / n).mean()) / judges)
    low, high = bootstrap(wrong.tolist())
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.05)
    assert (low + high) / 2 == pytest.approx(found.mean(), abs=0.01)


@pytest.mark.parametrize("wrong", [0, 20])
def test_several_judges_who_agree_wholly_still_have_an_interval(wrong: int, tmp_path: Path):
    files = [results(tmp_path / f"{i}.json", pattern(wrong, 20), str(i)) for i in range(3)]
    (score,) = score_judgements(files)
    assert (score.low, score.high) == wilson(3 * wrong, 60)


def test_each_page_has_a_line_of_its_own(tmp_path: Path):
    first = results(tmp_path / "a.json", pattern(1, 10), page="aaaa")
    other = results(tmp_path / "b.json", pattern(9, 10), page="bbbb", about={"fake": "theirs", "real": "photos"})
    scores = score_judgements([first, other])
    assert [(s.fake, s.error, s.judges) for s in scores] == [("mine", 0.1, 1), ("theirs", 0.9, 1)]
    assert "answers to different pages aren't pooled" in table(scores)


def test_a_file_that_stops_early_is_scored_with_a_note(tmp_path: Path):
    file = results(tmp_path / "a.json", pattern(5, 10))
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"answers": found["answers"][:6]}))
    (score,) = score_judgements([file])
    assert (score.answers, score.wrong) == (6, 5)
    assert "6 of 10 pairs answered" in table([score])


def test_words_of_strangers_can_not_command_the_terminal(tmp_path: Path):
    about = {"fake": "\x1b[2Jmine\n" + "x" * 500, "real": "photos"}
    text = table(score_judgements([results(tmp_path / "a.json", pattern(1, 4), about=about)]))
    assert "\x1b" not in text
    assert "?[2Jmine?xxx" in text
    assert "x" * 100 not in text


def changed(**other: Any) -> Callable[[Path], Any]:
    return lambda path: results(path, pattern(2, 6), **other)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another format": (changed(format="x"), "is no results file"),
    "newer": (changed(version=2), "has version 2 of the format, known is 1: upgrade"),
    "cut": (lambda p: p.write_bytes(changed()(p).read_bytes()[:-40]), "is no results file"),
    "bytes": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "is no results file"),
    "deep": (lambda p: p.write_text("[" * 100_000), "is no results file"),
    "list": (lambda p: p.write_text("[]"), "is no results file"),
    "folder": (lambda p: p.mkdir(), "there is no results file"),
    "no answers": (changed(answers=[]), "it has no answers"),
    "no list": (changed(answers={"pair": 1}), "is damaged"),
    "one twice": (changed(answers=[{"pair": 1, "answer": "left", "ms": 1}] * 2), "aren't those to the pairs 1 to 6"),
    "too many": (
        changed(answers=[{"pair": i, "answer": "left", "ms": 1} for i in range(1, 8)]),
        "its answers aren't those to the pairs 1 to 6 in order",
    ),
    "no side": (changed(answers=[{"pair": 1, "answer": "up", "ms": 1}]), "the answer to pair 1 makes no sense"),
    "no time": (changed(answers=[{"pair": 1, "answer": "left", "ms": float("nan")}]), "makes no sense"),
    "no name": (changed(judge=None, about={}), "is damaged or was changed (KeyError: 'fake')"),
    "key of another": (changed(key=base64.b64encode(b"LRLRLR").decode()), "its key is not of its page"),
    "no base64": (changed(key="?"), "is damaged"),
    "fewer pairs": (changed(pairs=5), "its key is not of its page"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_bad_results_file_is_named(name: str, tmp_path: Path, refused: Callable[..., str]):
    good, bad = results(tmp_path / "good.json", pattern(1, 6), "good"), tmp_path / "bad.json"
    damage, message = DAMAGE[name]
    damage(bad)
    said = refused("--score", str(good), str(bad))
    assert str(bad) in said
    assert message in said


def test_a_file_named_twice_is_told(tmp_path: Path):
    first = results(tmp_path / "a.json", pattern(1, 6))
    copy = results(tmp_path / "b.json", pattern(1, 6))
    with pytest.raises(UserError, match=r"b\.json is of the same judge and page as .*a\.json"):
        score_judgements([first, copy])


def test_scoring_does_not_wait_for_torch(tmp_path: Path):
    file = results(tmp_path / "a.json", pattern(1, 6))
    code = f"from mulligan.cli import main; main(['judge', '--score', {str(file)!r}])"
    check = "import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
