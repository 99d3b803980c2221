"""The mulligan: a run that falls ill is played again in two branches, and the better one stays."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mulligan
from mulligan import UserError, job
from mulligan.core.errors import NonFinite
from mulligan.core.run import Run
from mulligan.core.trainer import Trainer
from mulligan.experiment import Experiment
from mulligan.strokes import branch, play
from mulligan.strokes.book import Book, Stroke

FROZEN: dict[str, Any] = {
    "latent": 2, "batch": 32, "images": 16_000, "lr": 1e-3, "lr_d": 0.0, "device": "cpu", "ema": 500,
    "mlp": {"widths": (16, 16), "norm": False, "dropout": 0.0, "output": "none"}, "log_every": 320, "probe_every": 640,
    "checkpoint_every": 1_600,
}  # fmt: skip
"""A discriminator that never learns: the doctor must see it, and letting it learn must help."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "previewer", lambda *_: None)


def train(out: Path, **changed: Any) -> Experiment:
    return mulligan.train("gan", "ring", out=out, **{**FROZEN, **changed})


def weights(run: Run) -> dict[str, torch.Tensor]:
    state = run.checkpoints.load()[0]
    assert state is not None
    return state["game"]


def same(a: Run, b: Run) -> bool:
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def begun(run: Run) -> list[Stroke]:
    return Book(run).strokes()


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cure is ever good enough."""
    monkeypatch.setattr(play, "BETTER", 0.0)


@pytest.fixture(scope="module")
def cured(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "previewer", lambda *_: None)
        return train(tmp_path_factory.mktemp("cured") / "run", mulligans=1)


def test_an_illness_is_played_again_with_one_change(cured: Experiment):
    (stroke,) = begun(cured)
    assert (stroke.illness, stroke.change) == ("idle", {"lr_d": 1e-3})
    assert Book(cured).kept(stroke) == "cure"
    assert cured.settings()["changes"] == {"lr_d": 1e-3}
    assert cured.rows()[-1]["images"] >= 16_000


def test_what_was_asked_for_stays_on_record(cured: Experiment):
    assert cured.settings()["arguments"]["lr_d"] == 0.0
    assert cured.plan.optims["D"].lr == 1e-3


def test_both_branches_end_at_the_same_image(cured: Experiment):
    (stroke,) = begun(cured)
    ends = [branch.folder(cured, stroke, arm).rows()[-1]["images"] for arm in ("cure", "control")]
    assert ends[0] == ends[1] == pytest.approx(stroke.until, abs=32)
    assert stroke.until - stroke.at == max(stroke.at - stroke.origin, 1_600)


def test_the_cure_stays_because_it_is_nearer_to_held_out_data(cured: Experiment):
    book, (stroke,) = Book(cured), begun(cured)
    cure, control = book.distance(stroke, "cure"), book.distance(stroke, "control")
    assert cure is not None
    assert control is not None
    assert cure < 0.95 * control


def test_everything_is_written_down(cured: Experiment):
    kinds = [json.loads(line)["what"] for line in Book(cured).file.read_text().splitlines()]
    assert kinds == ["begun", "played", "played", "kept", "finished"]
    (event,) = [row for row in cured.rows() if row.get("event") == "stroke"]
    assert "lr_d 0.001" in event["text"]
    assert "the change stays" in event["text"]


def test_the_log_is_that_of_the_branch_that_stayed(cured: Experiment):
    images = [row["images"] for row in cured.rows() if "event" not in row]
    assert images == sorted(images)
    assert len(images) == len(set(images))
    moved = [row["moved_D"] for row in cured.rows() if "moved_D" in row]
    assert min(moved) > 0  # no line of the frozen one is left


def test_what_was_seen_of_the_data_is_not_lost_with_the_old_branch(tmp_path: Path):
    from mulligan.data import Source

    draw = torch.Generator().manual_seed(0)
    few = Source("few", {"x": torch.randn(200, 2, generator=draw).repeat(20, 1)})  # each point twenty times
    run = mulligan.train("gan", few, out=tmp_path / "run", mulligans=1, **FROZEN)
    (stroke,) = begun(run)
    assert (stroke.checkpoint, Book(run).kept(stroke)) == ("", "cure")
    assert [row["problem"] for row in run.rows() if row.get("event") == "data"]


def test_the_cost_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = train(tmp_path / "run", mulligans=1)
    (stroke,) = begun(run)
    told = capsys.readouterr()
    assert f"strokes  1 played, 1 kept, {stroke.until - stroke.origin:,} images" in told.out
    assert "D not learning" in told.err


def test_a_finished_run_with_a_change_is_found_finished(cured: Experiment, capsys: pytest.CaptureFixture[str]):
    train(cured.path, mulligans=1)
    assert "already finished" in capsys.readouterr().err
    assert cured.sample(4).shape == (4, 2)


def test_without_the_flag_nothing_is_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = train(tmp_path / "run")
    assert "D not learning" in capsys.readouterr().err
    assert not run.settings()["changes"]
    assert not Book(run).file.exists()


def test_the_control_branch_is_the_run_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch)
    straight, played = train(tmp_path / "straight"), train(tmp_path / "played", mulligans=1)
    assert Book(played).kept(begun(played)[0]) == "control"
    assert same(straight, played)
    values = [[row["distance"] for row in run.rows() if "distance" in row] for run in (straight, played)]
    assert values[0] == values[1]


def test_never_more_strokes_than_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch)
    run = train(tmp_path / "run", mulligans=1)
    assert len(begun(run)) == 1
    again = train(tmp_path / "run", mulligans=1, images=20_000)
    assert len(begun(again)) == 1


def test_no_cure_is_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch)
    strokes = begun(train(tmp_path / "run", mulligans=9, images=24_000))
    tried = [(stroke.illness, stroke.cure) for stroke in strokes]
    assert len(tried) == len(set(tried)) < 9


def test_a_run_that_is_still_ill_stops_where_it_was_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuse(monkeypatch)
    with pytest.raises(UserError, match="is ill") as caught:
        train(tmp_path / "run", mulligans=1, otherwise="stop")
    assert caught.value.code == 3
    assert Run(tmp_path / "run").checkpoints.newest_first()


def test_a_healthy_run_is_not_touched(tmp_path: Path):
    healthy: dict[str, Any] = {
        "lr_d": 1e-3,
        "stabilize": {"loss": "relativistic", "r1": 0.1, "r2": 0.1},
        "images": 8_000,
    }
    plain, watched = train(tmp_path / "plain", **healthy), train(tmp_path / "watched", mulligans=2, **healthy)
    if not begun(watched):
        assert same(plain, watched)


STAGES = ["begun", "cure half", "played cure", "played both", "kept", "adopting", "finished"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stroke_that_was_killed_goes_on(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cured: Experiment
):
    with pytest.MonkeyPatch.context() as patch:
        kill_at(stage, patch)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", mulligans=1)
    again = train(tmp_path / "run", mulligans=1)
    assert begun(again) == begun(cured)
    assert same(again, cured)
    assert [row["images"] for row in again.rows()] == [row["images"] for row in cured.rows()]


def kill_at(stage: str, patch: pytest.MonkeyPatch) -> None:
    """End the process, as it were, right after or within a stage."""
    write, rounds, save = Book.write, Trainer._round, branch.write_lines

    def written(self: Book, what: str, number: int, **facts: Any) -> None:
        write(self, what, number, **facts)
        now = {"played": f"played {'both' if facts.get('arm') == 'control' else 'cure'}"}.get(what, what)
        if now == stage:
            raise KeyboardInterrupt

    def half(self: Trainer) -> None:
        rounds(self)
        if "cure" in str(self.run.path) and self.clock.images == 3_200:
            raise KeyboardInterrupt

    def adopting(path: Path, rows: Any) -> None:
        save(path, rows)
        if path.parent.parent.name != "strokes":
            raise KeyboardInterrupt

    patch.setattr(Book, "write", written)
    if stage == "cure half":
        patch.setattr(Trainer, "_round", half)
    if stage == "adopting":
        patch.setattr(branch, "write_lines", adopting)


def test_a_run_whose_numbers_leave_the_finite_is_played_again_slower(tmp_path: Path):
    broken: dict[str, Any] = {"lr": 1e6, "lr_d": None, "betas": (0.0, 0.9)}
    with pytest.raises(NonFinite):
        train(tmp_path / "straight", **broken)
    run = tmp_path / "run"
    with contextlib.suppress(NonFinite):  # ten times slower may not be enough
        train(run, mulligans=1, **broken)
    (stroke,) = begun(Run(run))
    assert (stroke.illness, stroke.change["lr"]) == ("nonfinite", 1e5)
    assert Book(Run(run)).distance(stroke, "control") == float("inf")


class TestAdapted:
    def plans(self, **changed: Any) -> tuple[Any, Any, dict[str, Any]]:
        run = Experiment(self.run.path)
        settings = run.settings()["arguments"]
        from mulligan.core.recipe import nest

        build = run.recipe
        old = build.plan(run.described, build.arguments(nest(settings)))
        new = build.plan(run.described, build.arguments(nest({**settings, **changed})))
        state = run.checkpoints.load()[0]
        assert state is not None
        return old, new, state

    @pytest.fixture(autouse=True)
    def _trained(self, tmp_path: Path) -> None:
        self.run = train(tmp_path / "run", images=640, lr_d=1e-3)

    def test_the_same_networks_keep_weights_and_moments_at_the_new_rate(self):
        _, new, state = self.plans(lr=5e-4)
        found = branch.adapted(state, new)
        assert all(torch.equal(found["game"][name], state["game"][name]) for name in state["game"])
        assert found["optimizers"]["G"]["state"].keys() == state["optimizers"]["G"]["state"].keys()
        assert found["optimizers"]["G"]["param_groups"][0]["lr"] == 5e-4

    def test_a_network_that_is_built_otherwise_starts_anew(self):
        _, new, state = self.plans(**{"stabilize.packing": 2})
        found = branch.adapted(state, new)
        new.game.load_state_dict(found["game"])
        assert found["optimizers"]["D"]["state"] == {}
        assert found["optimizers"]["G"]["state"].keys() == state["optimizers"]["G"]["state"].keys()
        inside = [name for name in found["game"] if name.startswith("sampler.")]
        assert all(torch.equal(found["game"][name], state["game"][name]) for name in inside)


@pytest.mark.parametrize("wrong", [{"mulligans": -1}, {"mulligans": 1, "doctor": False}])
def test_wrong_wishes_are_refused_with_nothing_written(wrong: dict[str, Any], tmp_path: Path):
    with pytest.raises(UserError, match="mulligans"):
        train(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
