"""The page of `mulligan judge` in a real browser, from the disk: played with keys, saved, scored."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mulligan.assess.judge import judge
from mulligan.assess.judgements import score_judgements
from mulligan.cli import main

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'mulligan[dev]'")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip("needs Chromium: the Debian package chromium", allow_module_level=True)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PAIRS, PRACTICE = 6, 2  # the pictures just suffice
LONG = 3600.0  # seconds: pictures stay as long as a test looks


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Reddish noise, the real pictures, and bluish noise."""
    made, draw = [], np.random.default_rng(0)
    for name, channel in (("real", 0), ("fake", 2)):
        folder = tmp_path_factory.mktemp("data") / name
        folder.mkdir()
        for i in range(PAIRS + PRACTICE):
            pixels = draw.integers(0, 100, (16, 16, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(folder / f"{i}.png")
        made.append(folder)
    return made[0], made[1]


class Player:
    """A person at the keyboard, who knows real pictures by their red."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.page = browser.new_context(accept_downloads=True, **context).new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def until(self, *phases: str) -> None:
        """Wait for a phase of the page; playwright's own waiting looks too seldom for those that last a moment."""
        end = time.monotonic() + 30
        while (now := self.page.evaluate("document.body.dataset.phase")) not in phases:
            assert time.monotonic() < end, f"still {now}, never {phases}"
            time.sleep(0.005)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def covered(self) -> bool:
        return self.page.locator("#pictures img:visible").count() == 0 and self.page.locator("img[src]").count() == 0

    def real_side(self) -> str:
        """Where the real picture is, by the colours on the screen."""
        red = []
        for side in ("left", "right"):
            shot = Image.open(io.BytesIO(self.page.locator(f"#{side}").screenshot())).convert("RGB")
            r, _, b = np.asarray(shot).reshape(-1, 3).mean(0)
            assert abs(r - b) > 100
            red.append(r > b)
        assert red[0] != red[1]
        return "left" if red[0] else "right"

    def answer(self, right: bool) -> None:
        self.until("shown")
        left = (self.real_side() == "left") == right
        self.press("ArrowLeft" if left else "ArrowRight")

    def past_practice(self) -> None:
        self.press("Enter")
        for _ in range(PRACTICE):
            self.until("shown", "hidden")
            self.press("a")
        self.until("rest")
        self.press("Enter")

    def save(self, folder: Path, name: str = "results.json") -> Path:
        with self.page.expect_download() as download:
            self.press("Enter")
        assert re.fullmatch(r"judgements-[0-9a-f]{8}-[0-9a-f]{8}\.json", download.value.suggested_filename)
        download.value.save_as(folder / name)
        return folder / name

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def close(self) -> None:
        self.page.context.close()


@pytest.fixture
def player(browser: Any, folders: tuple[Path, Path], tmp_path: Path) -> Iterator[Any]:
    """Opens pages; whatever was played, nothing was asked of a network and nothing complained."""
    opened: list[tuple[Player, Path]] = []

    def start(seconds: float = LONG, **context: Any) -> Player:
        file = judge(fake=folders[1], real=folders[0], pairs=PAIRS, seconds=seconds, out=tmp_path / "page.html")
        opened.append((Player(browser, file, **context), file))
        return opened[-1][0]

    yield start
    for one, file in opened:
        others = [url[:60] for url in one.asked if url != file.as_uri() and not url.startswith(("data:", "blob:"))]
        assert others == []
        assert one.complaints == []
        one.close()


@pytest.mark.parametrize("wrong", [0, PAIRS, 2])
def test_the_answers_that_were_given_are_the_error_rate(wrong: int, player: Any, tmp_path: Path, capsys: Any):
    person = player()
    person.past_practice()
    for i in range(PAIRS):
        person.answer(right=i >= wrong)
    person.until("end")
    assert person.text("#said") == "", "nothing is told before the answers are final"
    text = json.loads(person.page.locator("#text").input_value())
    file = person.save(tmp_path)
    assert f"in {wrong} of {PAIRS} pairs" in person.text("#said")
    saved = json.loads(file.read_text("utf-8"))
    assert saved == text
    (score,) = score_judgements([file])
    assert (score.judges, score.answers, score.wrong) == (1, PAIRS, wrong)
    capsys.readouterr()
    main(["judge", "--score", str(file)])
    assert f"{100 * wrong / PAIRS:.1f} %" in capsys.readouterr().out
    assert all(0 < one["ms"] < 60_000 for one in saved["answers"])
    assert saved["started"] < saved["finished"]


def test_pictures_are_covered_after_the_time_limit_and_the_answer_may_still_come(player: Any, tmp_path: Path):
    person = player(seconds=0.3)
    assert "covered after 0.3 seconds" in person.text("#how-long")
    person.past_practice()
    for i in range(PAIRS):
        person.until("hidden")
        assert person.covered()
        assert person.text("#where") == f"Pair {i + 1} of {PAIRS}"
        person.press("l" if i % 2 else "A")
    person.until("end")
    saved = json.loads(person.save(tmp_path).read_text("utf-8"))
    assert all(one["seen_ms"] >= 300 for one in saved["answers"])
    # a busy machine may be late now and then
    assert statistics.median(one["seen_ms"] for one in saved["answers"]) < 500
    assert all(one["ms"] >= one["seen_ms"] for one in saved["answers"])
    assert [one["answer"] for one in saved["answers"]] == ["left", "right"] * (PAIRS // 2)


def test_undo_takes_back_an_answer_but_shows_nothing_again(player: Any, tmp_path: Path):
    person = player()
    person.past_practice()
    person.until("shown")
    assert person.page.locator("#undo").is_disabled(), "practice is over"
    person.press("u")
    assert person.text("#where") == f"Pair 1 of {PAIRS}"
    person.press("ArrowLeft")
    person.until("shown")
    person.press("u")
    person.until("hidden")
    assert person.text("#where") == f"Pair 1 of {PAIRS}"
    assert person.covered()
    person.press("ArrowRight")
    for _ in range(PAIRS - 1):
        person.until("shown")
        person.press("ArrowRight")
    person.until("end")
    person.press("u")
    person.until("hidden")
    person.press("ArrowLeft")
    person.until("end")
    saved = json.loads(person.save(tmp_path).read_text("utf-8"))
    assert [one["answer"] for one in saved["answers"]] == ["right"] * (PAIRS - 1) + ["left"]
    person.press("u")
    assert person.page.locator("#end").is_visible(), "saved answers are final"


def test_a_pause_covers_the_pictures_and_stops_their_time(player: Any, tmp_path: Path):
    person = player(seconds=2.0)
    person.past_practice()
    person.until("shown")
    person.press("Escape")
    assert person.text("#rest-title") == "Paused"
    assert person.covered()
    person.page.wait_for_timeout(2200)
    person.press("a", "Escape")
    person.until("shown")
    person.until("hidden")
    person.press("a")
    person.until("shown")
    person.press("Escape")
    person.page.click("#stop")
    saved = json.loads(person.save(tmp_path).read_text("utf-8"))
    assert len(saved["answers"]) == 1
    assert 2000 <= saved["answers"][0]["seen_ms"] < 3000
    assert score_judgements([tmp_path / "results.json"])[0].notes


def test_without_a_limit_pictures_stay_and_may_be_seen_again(player: Any):
    person = player(seconds=0)
    assert "Take as long as you like" in person.text("#how-long")
    person.past_practice()
    person.until("shown")
    person.press("a")
    person.until("shown")
    person.press("u")
    person.until("shown")
    assert person.text("#where") == f"Pair 1 of {PAIRS}"
    assert not person.covered()


def test_a_key_held_down_is_one_answer_and_shortcuts_are_none(player: Any):
    person = player()
    person.past_practice()
    person.until("shown")
    person.press("Control+a")
    assert person.text("#where") == f"Pair 1 of {PAIRS}"
    for _ in range(2):
        person.page.keyboard.down("a")  # the second one is a repetition
    person.until("shown")
    person.page.keyboard.down("a")
    person.page.wait_for_timeout(50)
    assert person.text("#where") == f"Pair 2 of {PAIRS}"


def test_it_can_be_played_by_pointer_alone_on_a_phone(player: Any, tmp_path: Path):
    person = player(viewport={"width": 340, "height": 640}, has_touch=True, is_mobile=True)
    person.page.tap("#start")
    for i in range(PRACTICE + PAIRS):
        if i == PRACTICE:
            person.page.tap("#on")
        person.until("shown")
        boxes = [person.page.locator(f"#{side}").bounding_box() for side in ("left", "right")]
        assert boxes[0]["y"] == boxes[1]["y"]
        assert all(box["width"] == box["height"] >= 128 and box["width"] % 16 == 0 for box in boxes)
        assert person.page.evaluate("document.documentElement.scrollWidth") <= 340
        person.page.tap("#left")
    person.until("end")
    with person.page.expect_download() as download:
        person.page.tap("#save")
    download.value.save_as(tmp_path / "results.json")
    assert score_judgements([tmp_path / "results.json"])[0].error == 0.5, "the sides are balanced"


def test_the_copied_text_is_a_results_file(player: Any, tmp_path: Path):
    person = player(permissions=["clipboard-read", "clipboard-write"])
    person.past_practice()
    for _ in range(PAIRS):
        person.until("shown")
        person.press("a")
    person.until("end")
    person.page.click("#copy")
    sync_api.expect(person.page.locator("#said")).to_contain_text("Copied")
    (tmp_path / "copied.json").write_text(person.page.evaluate("navigator.clipboard.readText()"), "utf-8")
    assert score_judgements([tmp_path / "copied.json"])[0].answers == PAIRS


def test_where_the_real_one_is_can_not_be_read_from_the_page(player: Any):
    person = player()
    person.past_practice()
    shapes = set()
    for _ in range(PAIRS):
        person.until("shown")
        side = person.real_side()
        html = person.page.locator("#pictures").inner_html()
        bare = re.sub(r'src="data:image/png;base64,[^"]*"', "src", html)
        shapes.add(bare)
        sources = [person.page.locator(f"#{s} img").get_attribute("src") for s in ("left", "right")]
        infos = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).info for source in sources]
        assert infos == [{}, {}]
        person.press("ArrowLeft" if side == "left" else "ArrowRight")
    assert len(shapes) == 1, "but for the pictures, every pair looks alike"


def test_both_schemes_can_be_read(player: Any):
    for scheme in ("light", "dark"):
        person = player(color_scheme=scheme)
        found = person.page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        ink, ground = (_luminance(colour) for colour in found)
        assert (ink < ground) == (scheme == "light")
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 7


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of rgb(r, g, b)."""
    levels = [int(level) / 255 for level in re.findall(r"\d+", colour)[:3]]
    r, g, b = (level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_keys_reach_everything_and_the_picture_buttons_have_names(player: Any):
    person = player()
    assert person.page.evaluate("document.activeElement.id") == "start"
    person.past_practice()
    person.until("shown")
    names = person.page.get_by_role("button").evaluate_all("all => all.map((one) => one.ariaLabel ?? one.innerText)")
    assert names[:2] == ["The left one is real", "The right one is real"]
    person.press("Tab", "Tab", "Space")
    person.until("shown")
    assert person.text("#where") == f"Pair 2 of {PAIRS}"
    person.press("u", "Escape")
    assert person.page.evaluate("document.activeElement.id") == "on"
