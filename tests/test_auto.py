"""What is left to "auto" gets a number by the written rule, the same for the same run, and never reaches a plan."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tyro

from mulligan import UserError, train
from mulligan.auto import resolve
from mulligan.cli import form
from mulligan.core.recipe import Plan, Recipe
from mulligan.parts.stabilize import Stabilize
from mulligan.zoo import find

from . import helpers

ROOT = Path(__file__).parents[1]
SHORT: dict[str, Any] = {"latent": 4, "width": 4, "batch": 8, "images": 48, "device": "cpu"}
AUTO = {"r1": "auto", "r2": "auto"}


@dataclass
class Data:
    shape: tuple[int, ...] = (1, 32, 32)
    count: int = 60_000
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.count


def chosen(recipe: str, data: Data | None = None, **given: Any) -> tuple[dict[str, Any], list[str]]:
    made = find(recipe)
    return resolve(made, made.arguments(given), data or Data())


@pytest.mark.parametrize(
    ("recipe", "batch", "rate"), [("r3gan", 64, 2e-4), ("r3gan", 16, 1e-4), ("r3gan", 256, 4e-4), ("infogan", 32, 5e-4)]
)
def test_the_rate_is_the_recipes_by_the_root_of_the_batch(recipe: str, batch: int, rate: float):
    assert chosen(recipe, lr="auto", batch=batch)[0]["lr"] == rate


@pytest.mark.parametrize(
    ("recipe", "given", "rate"),
    [("dcgan", {"lr": 3e-4}, 3e-4), ("infogan", {"lr": 1e-3}, 2e-4), ("infogan", {"lr": "auto", "batch": 32}, 1e-4)],
)
def test_the_rate_of_d_is_as_far_from_gs_as_in_the_recipe(recipe: str, given: dict[str, Any], rate: float):
    assert chosen(recipe, lr_d="auto", **given)[0]["lr_d"] == rate


@pytest.mark.parametrize(
    ("data", "batch", "gamma"),
    [(Data(), 64, 1.0), (Data((3, 64, 64)), 64, 1.0), (Data((3, 128, 128)), 64, 4.0), (Data((3, 64, 256)), 64, 4.0),
     (Data(), 16, 4.0), (Data(), 256, 0.25), (Data(count=100), 64, 1.0),
     (Data((2,)), 64, 0.1), (Data((2,)), 16, 0.1), (Data((2,), 1_000), 64, 0.1), (Data((2,), 999), 64, 1.0)],
)  # fmt: skip
def test_gamma_follows_pixels_and_batch_and_of_points_their_number(data: Data, batch: int, gamma: float):
    arguments = chosen("r3gan", data, batch=batch, stabilize=AUTO)[0]
    assert (arguments["stabilize"].r1, arguments["stabilize"].r2) == (gamma, gamma)


def test_gamma_starts_from_the_recipes_own():
    def mine(data: Any, *, batch: int = 32, stabilize: Stabilize = Stabilize(r1=5.0)) -> Plan:
        raise AssertionError("no plan is needed")

    made = Recipe("mine", mine, "", "mine")
    assert resolve(made, made.arguments({"stabilize": {"r1": "auto"}}), Data())[0]["stabilize"].r1 == 5.0


def test_each_choice_is_told_with_number_rule_and_source():
    arguments, notes = chosen("dcgan", Data((3, 128, 128)), lr="auto", lr_d="auto", batch=64, stabilize=AUTO)
    assert notes == [
        "--lr 0.00014 = 0.0002 × √(64/128): the recipe's, by the root of the batch (Malladi et al. 2022)",
        "--lr-d 0.00014 = 1 × --lr, as in the recipe",
        "--stabilize.r1 4 = 1 × 64/64 × 16,384/64²: by batch and pixels, as StyleGAN2-ADA (Karras et al. 2020)",
        "--stabilize.r2 4 = 1 × 64/64 × 16,384/64²: by batch and pixels, as StyleGAN2-ADA (Karras et al. 2020)",
    ]
    assert arguments["lr"] == 0.00014


def test_a_number_that_is_told_can_be_typed_back():
    arguments, notes = chosen("r3gan", lr="auto", batch=24)
    assert arguments["lr"] == float(notes[0].split()[1])


def test_the_other_arguments_stay_as_they_are():
    given = {"lr": "auto", "betas": (0.1, 0.9), "stabilize": {"gp": 3.0, "lazy": 2}}
    arguments, _ = chosen("dcgan", **given)
    assert arguments == find("dcgan").arguments({**given, "lr": arguments["lr"]})


def test_without_auto_nothing_is_chosen():
    made = find("r3gan")
    arguments = made.arguments({})
    assert resolve(made, arguments, Data()) == (arguments, [])


@pytest.mark.parametrize(
    ("given", "where"),
    [({"batch": "auto"}, "batch is 'auto' (str), but must be int"),
     ({"images": "auto"}, "images is 'auto' (str), but must be int"),
     ({"stabilize": {"gp": "auto"}}, "stabilize.gp is 'auto' (str), but must be float")],
)  # fmt: skip
def test_auto_elsewhere_is_refused_and_where_it_may_stand_is_said(given: dict[str, Any], where: str):
    with pytest.raises(UserError, match=re.escape(f"{where}; auto is for lr, lr_d, stabilize.r1, stabilize.r2")):
        find("r3gan").arguments(given)


@pytest.mark.parametrize("given", [{"lr": "fast"}, {"lr_d": "fast"}, {"stabilize": {"r1": "fast"}}])
def test_other_words_are_no_numbers(given: dict[str, Any]):
    with pytest.raises(UserError, match=re.escape("is 'fast' (str), but must be float")):
        find("r3gan").arguments(given)


@pytest.mark.parametrize(
    "given", [{"lr": "auto"}, {"lr_d": "auto"}, {"stabilize": {"r1": "auto"}}, {"stabilize": {"r2": "auto"}}]
)
def test_auto_never_reaches_a_plan(given: dict[str, Any]):
    made = find("dcgan")
    with pytest.raises(UserError, match=r"is 'auto': let mulligan\.auto\.resolve put a number there"):
        made.plan(Data(), made.arguments(given))


def test_negative_gamma_is_refused_still():
    with pytest.raises(UserError, match=r"stabilize\.r2 is -1\.0, but can't be negative"):
        Stabilize(r1="auto", r2=-1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "why"), [("lr", "--lr auto starts from"), ("lr_d", "--lr-d auto follows --lr, and this recipe has none")]
)
def test_a_recipe_without_a_rate_of_its_own_is_told_so(words: str, why: str):
    def mine(data: Any, *, lr: float | None = None, lr_d: float | None = None) -> Plan:
        raise AssertionError("no plan is needed")

    made = Recipe("mine", mine, "", "mine")
    with pytest.raises(UserError, match=why):
        resolve(made, made.arguments({words: "auto"}), Data())


def test_the_command_takes_auto_where_it_may_stand():
    words = "--data digits --lr auto --lr-d auto --stabilize.r1 auto --stabilize.r2 auto"
    given = tyro.cli(form(find("r3gan")), args=words.split())
    assert (given.lr, given.lr_d) == ("auto", "auto")  # type: ignore[attr-defined]
    assert given.stabilize == Stabilize(r1="auto", r2="auto")  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", ["--batch auto", "--stabilize.gp auto", "--lr fast"])
def test_the_command_refuses_it_elsewhere(words: str):
    with pytest.raises(SystemExit):
        tyro.cli(form(find("r3gan")), args=["--data", "digits", *words.split()])


@pytest.mark.parametrize("words", [["--lr-d", "None"], ["--lr", "3e-4"]])
def test_the_command_takes_numbers_and_none_as_before(words: list[str]):
    given = tyro.cli(form(find("r3gan")), args=["--data", "digits", *words])
    assert (given.lr, given.lr_d) in ((2e-4, None), (3e-4, None))  # type: ignore[attr-defined]


def settings(run: Path) -> dict[str, Any]:
    return json.loads((run / "recipe.json").read_text())["arguments"]


def test_a_run_records_the_numbers_and_goes_on_by_auto_and_by_number(pictures: Path, tmp_path: Path):
    job = {**SHORT, "out": tmp_path / "run", "stabilize": {"r1": "auto"}}
    train("dcgan", pictures, **job, lr="auto")
    assert (settings(tmp_path / "run")["lr"], settings(tmp_path / "run")["stabilize.r1"]) == (5e-5, 8.0)
    for images, same in ((64, {"lr": "auto"}), (80, {"lr": 5e-5, "stabilize": {"r1": 8.0}})):
        train("dcgan", pictures, **{**job, "images": images, **same})
        assert helpers.newest(tmp_path / "run")["position"] == images
    assert (settings(tmp_path / "run")["lr"], settings(tmp_path / "run")["stabilize.r1"]) == (5e-5, 8.0)


def test_a_run_with_auto_is_told_what_it_will_cost_and_one_without_is_not(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    train("dcgan", pictures, out=tmp_path / "auto", **SHORT, lr="auto")
    said = capsys.readouterr().err
    assert "forecast  48 images, 6 rounds: 0:00:0" in said
    assert "          auto: --lr 5e-05 = 0.0002 × √(8/128)" in said
    train("dcgan", pictures, out=tmp_path / "number", **SHORT)
    assert "forecast" not in capsys.readouterr().err
    train("dcgan", pictures, out=tmp_path / "asked", **SHORT, forecast=True)
    assert "forecast  48 images" in capsys.readouterr().err


def test_the_page_tells_the_numbers_of_the_rule():
    from mulligan import auto, forecast

    page = (ROOT / "docs" / "auto.md").read_text(encoding="utf-8")
    told = (auto.PICTURES, auto.SIDE, auto.BATCH, auto.POINTS, auto.FEW_POINTS, auto.FEW, forecast.FEW, forecast.ENOUGH)
    for number in told:
        assert re.search(rf"(?<![\d.,]){number:,g}(?![\d,])", page) or f"{number:,}" in page, number
