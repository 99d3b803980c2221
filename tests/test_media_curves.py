"""The curves of a run, drawn in a process of their own."""

import itertools
import sys

import pytest
from PIL import Image

from mulligan import previews
from mulligan.data import open_source
from mulligan.experiment import Experiment
from mulligan.media import curves
from mulligan.zoo import find

pytestmark = pytest.mark.usefixtures("drawn")
ROWS = [{"images": n, "loss_D": 1.0 / (n + 1), "loss_G": 1.0, "D(x)": 0.6, "grad_D": 2.0} for n in range(5)]


def test_both_ways_draw_the_same_picture_and_only_one_loads_the_plotting_library(tmp_path):
    here, apart = curves.draw(ROWS, tmp_path / "here.png"), curves.draw_apart(ROWS, tmp_path / "apart.png")
    with Image.open(here) as one, Image.open(apart) as other:
        assert one.size == other.size
        assert one.tobytes() == other.tobytes()


def test_a_process_that_fails_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert curves.draw_apart(ROWS, tmp_path / "a.png").stat().st_size > 1000


def test_a_folder_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        curves.draw_apart(ROWS, tmp_path / "nowhere" / "a.png")
    assert not list(tmp_path.iterdir())


def test_training_never_loads_the_plotting_library(tmp_path):
    import subprocess

    program = (
        "import sys, mulligan\n"
        f"mulligan.train('gan', 'digits', out={str(tmp_path / 'run')!r}, images=256, device='cpu')\n"
        "sys.exit('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000


def test_drawing_takes_a_hundredth_of_the_time_and_the_end_is_always_drawn(tmp_path, monkeypatch):
    clock, drawn = [1000.0], []

    def draw(rows, path, scores):
        drawn.append(clock[0])
        clock[0] += 2.0  # seconds

    class Time:
        monotonic = staticmethod(lambda: clock[0])

    source, recipe = open_source("digits"), find("gan")
    run, plan = Experiment(tmp_path / "run", "cpu"), recipe.plan(source, recipe.arguments({}))
    monkeypatch.setattr(previews, "time", Time)
    monkeypatch.setattr(curves, "draw_apart", draw)
    preview = previews.previewer(run, plan, source)
    for _ in range(25):
        preview(plan.game.sampler, 100)
        clock[0] += 20.0
    assert [b - a for a, b in itertools.pairwise(drawn)] == [222.0, 222.0]
    preview(plan.game.sampler, plan.images)
    assert drawn[-1] == clock[0] - 2.0
