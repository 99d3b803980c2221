"""Does a generated rare class help a classifier? Every arm, several seeds, and a report that says so or not."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from mulligan.core.checkpoints import append_line, read_lines, write_whole
from mulligan.core.engine import pick_device
from mulligan.core.errors import UserError
from mulligan.core.progress import duration
from mulligan.core.recipe import Recipe, flatten, nest
from mulligan.core.run import Run
from mulligan.experiment import Described
from mulligan.media.image import to_uint8
from mulligan.metrics.classifier import default_steps
from mulligan.verbs import parse_size, train
from mulligan.zoo import find

from . import report
from .arms import ARMS, WITH, run_arm
from .setting import Setting, check_folder, settle
from .task import ONE_WAY, Task, open_task

LABELLED = ("cgan", "acgan", "projection", "biggan", "sagan")  # recipes of the house that are told which class to make
SMALL: dict[str, Any] = {
    "width": 16, "net.width": 16, "batch": 32, "critic_turns": 1, "lr": 2e-3, "lr_d": None, "betas": (0.0, 0.99),
    "schedule": "cosine", "images": 200_000, "stabilize.r1": 0.3, "stabilize.lazy": 4,
}  # fmt: skip
"""In place of the papers' settings: good for pictures of about 28 pixels within minutes on one CPU core."""
SHOWN = 50  # generated pictures on a sheet, and as many real ones at most


def augment(
    data: str | Path,
    rare: int | str,
    keep: int = 50,
    *,
    recipe: str = "cgan",
    add: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    test: str | Path | None = None,
    steps: int | None = None,
    flip: bool | None = None,
    size: int | str | tuple[int, int] | None = None,
    channels: int | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    cache: str | Path | None = None,
    out: str | Path | None = None,
    **arguments: Any,
) -> Path:
    """Train a small classifier with and without generated pictures of a rare class, and report; gives `report.md`.

    Of the class `rare` only `keep` training pictures stay, drawn anew by each of the seeds `seed`, `seed` + 1, …; a
    conditional GAN is trained on what stays and makes `add` pictures of the class (None: up to the median class).
    `flip` None: mirrored pictures in ordinary augmentation, except for digits and letters. `arguments` are the
    recipe's, over `usual`. The same call goes on where it was stopped. Raises UserError, for wrong input with nothing
    written, and what `train` raises.
    """
    if seeds < 2:
        raise UserError(f"--seeds {seeds}: one seed has no interval, take at least 2 (5 is usual)")
    for name, value in (("steps", steps), ("add", add)):
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: at least 1")
    made, where = find(recipe), pick_device(device)
    chosen = made.arguments(usual(made, arguments))
    options = {"size": parse_size(size), "channels": channels, "root": data_root, "cache": cache}
    task = open_task(data, rare, keep, test, seed, options)
    check_conditional(made, task, chosen)
    add = task.usual() - keep if add is None else add
    if add < 1:
        raise UserError(
            f"with --keep {keep}, class {task.rare_name} is as frequent as the others ({task.usual():,} pictures): "
            "keep fewer, or say how many to --add"
        )
    steps = default_steps(len(task.kept(seed)[0]) + keep) if steps is None else steps
    flip = str(data).lower().replace("-", "_") not in ONE_WAY if flip is None else flip
    setting = Setting(task, made, recipe, chosen, add, steps, flip, where)
    run, wanted = Run(out or Path("runs") / f"augment-{task.source.name}-{task.rare}"), range(seed, seed + seeds)
    check_folder(run.path)
    with run.locked():
        try:
            settle(run.path, setting.asked())
            for note in task.source.notes:
                say(f"note: {note}")
            play(setting, run.path, wanted)
            return tell(setting, run.path, wanted)
        except OSError as error:
            raise UserError(run.refused(error)) from error


def usual(recipe: Recipe, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Arguments of a recipe that a study takes where none are given, and what is given."""
    known = flatten(recipe.defaults())
    chosen = SMALL if recipe.spec in LABELLED else {"images": SMALL["images"]}
    return nest({name: value for name, value in chosen.items() if name in known} | flatten(given or {}))


def check_conditional(recipe: Recipe, task: Task, arguments: dict[str, Any]) -> None:
    """Raises UserError unless the recipe makes as many classes as the data has, however many those are."""
    source = task.source
    for names in (source.classes, (*source.classes, "one more")):
        plan = recipe.plan(Described(source.shape, names, len(source)), arguments)
        if int(getattr(plan.game.sampler, "classes", 0)) != len(names):
            raise UserError(
                f"{recipe.name} can't be told which class to make: take a recipe that learns the labels, such as "
                f"{', '.join(LABELLED)}"
            )


def play(setting: Setting, folder: Path, seeds: Sequence[int]) -> None:
    """Every arm of every seed that has no line in `results.jsonl` yet."""
    done, lines = results(folder), folder / "results.jsonl"
    todo = {seed: [arm for arm in ARMS if (seed, arm) not in done] for seed in seeds}
    gans = sum(not set(WITH).isdisjoint(arms) for arms in todo.values())
    left = Left({"classifier": sum(map(len, todo.values())), "GAN": gans})
    if done:
        say(f"going on from {lines}: {left}")
    for seed, arms in todo.items():
        made, cost = None, {}
        for arm in arms:
            if arm in WITH and made is None:
                with left.timing("GAN"):
                    made, cost = generated(setting, folder, seed)
            with left.timing("classifier"):
                row = fitted(setting, seed, arm, made) | cost
            append_line(lines, row, sync=True)
            say(f"seed {seed}, {ARMS[arm].title}: {numbers(row, setting.task.rare_name)}; {left}")


def results(folder: Path) -> dict[tuple[int, str], dict[str, Any]]:
    """The lines that are there, by seed and arm."""
    return {(r["seed"], r["arm"]): r for r in read_lines(folder / "results.jsonl") if {"seed", "arm"} <= r.keys()}


def fitted(setting: Setting, seed: int, arm: str, made: Tensor | None) -> dict[str, Any]:
    """One line: the classifier of an arm, trained and tested."""
    from tqdm import tqdm

    task, training = setting.task, setting.task.training(seed)
    if ARMS[arm].generated and made is not None:
        training = training.plus(made, task.rare)
    with tqdm(total=setting.steps, desc=f"seed {seed}, {ARMS[arm].title}", disable=None, leave=False) as bar:

        def step(*_: int) -> None:
            bar.update()

        found = run_arm(
            ARMS[arm], training, task.test, len(task.source.classes), task.rare, seed=seed, steps=setting.steps,
            flip=setting.flip, device=setting.device, report=step,
        )  # fmt: skip
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "seed": seed, "arm": arm, **found}


def generated(setting: Setting, folder: Path, seed: int) -> tuple[Tensor, dict[str, Any]]:
    """The GAN of a seed, trained or as it lies: its pictures of the rare class, uint8 (add, C, H, W), and its cost."""
    task = setting.task
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for what came out of the study
        run = train(
            setting.spec, task.for_gan(seed), out=folder / f"gan-seed-{seed}", seed=seed, device=str(setting.device),
            **setting.arguments,
        )  # fmt: skip
    made = run.sample(setting.add, seed=seed, label=task.rare_name)
    real = task.source.gather(task.kept(seed)[1][:SHOWN])["x"]
    report.draw_samples(real, made[:SHOWN], folder / sheet(seed))
    rates = [row["images_per_second"] for row in run.rows() if row.get("images_per_second")]
    cost = {"gan_seconds": round(setting.arguments.get("images", 0) / rates[-1], 1)} if rates else {}
    return to_uint8(made), {"added": setting.add, **cost}


def sheet(seed: int) -> str:
    return f"samples-seed-{seed}.png"


def tell(setting: Setting, folder: Path, seeds: Sequence[int]) -> Path:
    """Report and plot; the tables on stdout."""
    rare, known = f"class {setting.task.rare_name}", results(folder)
    found = report.Results([known[seed, arm] for seed in seeds for arm in ARMS], seeds)
    report.draw_arms(found, rare, folder / "arms.png")
    path, costs = folder / "report.md", [row["gan_seconds"] for row in found.rows if "gan_seconds" in row]
    sentences = setting.sentences(seeds)
    if costs:
        sentences.append(f"Training a GAN took {duration(sum(costs) / len(costs))} (minutes:seconds) on average.")
    write_whole(path, report.page(found, rare, sentences, [sheet(seed) for seed in seeds]))
    print(f"{report.summary(found, rare)}\n\n{folder / 'results.jsonl'}\n{path}", flush=True)
    return path


class Left:
    """What is still to do, and how long it takes by what was measured so far."""

    def __init__(self, pending: dict[str, int]) -> None:
        self.pending = pending
        self.seconds: dict[str, list[float]] = {kind: [] for kind in pending}

    @contextlib.contextmanager
    def timing(self, kind: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.pending[kind] -= 1
        self.seconds[kind].append(time.monotonic() - begun)

    def __str__(self) -> str:
        """4 classifiers and 1 GAN to go, 3:20 left"""
        todo = {kind: count for kind, count in self.pending.items() if count}
        words = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in todo.items()) or "nothing"
        if not todo or not all(self.seconds[kind] for kind in todo):
            return f"{words} to go"
        mean = {kind: sum(self.seconds[kind]) / len(self.seconds[kind]) for kind in todo}
        return f"{words} to go, {duration(sum(mean[kind] * count for kind, count in todo.items()))} left"


def numbers(row: dict[str, Any], rare: str) -> str:
    """A line for the log."""
    precision = "never named" if row["precision"] is None else f"precision {row['precision']:.1%}"
    return f"balanced accuracy {row['balanced_accuracy']:.1%}, class {rare}: recall {row['recall']:.1%}, {precision}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
