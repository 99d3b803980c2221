"""The verbs as a command. Flags of `train` come from the recipe's signature; torch is loaded only when it is needed."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from .core.recipe import Recipe

HELP = """usage: mulligan COMMAND …

A GAN toolkit in plain PyTorch: from data to a trained generator.

commands:
  train RECIPE --data SOURCE   train a recipe; the same command goes on where a run stopped
  sample RUN                   pictures from a trained run
  interpolate RUN              a walk through latent space as a GIF
  info RUN                     what a run is and how far it got
  diagnose RUN                 what ails a training, and what helps; or --csv FILE of any training loop
  evaluate RUN                 scores with their protocol; or --fake FOLDER --real FOLDER
  compare RUN RUN …            scores, samples, curves and cost side by side, as one page
  augment --data SOURCE        whether generated samples of a rare class help a classifier
  judge RUN                    a page on which people tell real from generated
  import FILE                  a run folder from weights of an official implementation
  recipes                      the recipes, one line each
  trust FILE.py                allow runs of others to use this recipe file

`mulligan COMMAND --help` tells the options; `mulligan train RECIPE --help` also those of the recipe.
SOURCE: a folder or zip of images, .npy, .npz, or digits, mnist, fashion_mnist, kmnist, cifar10, stacked_mnist,
ring, grid, swissroll, moons. RECIPE: a name from `mulligan recipes`, or my_file.py:my_recipe.
"""

USUAL = {
    "latent": "entries of the latent vector z",
    "width": "channels of the networks' widest picture; for points, half the hidden units",
    "batch": "real images in one turn",
    "critic_turns": "turns of D for one of G",
    "lr": "learning rate of G, and of D unless --lr-d is given; auto: by the batch",
    "lr_d": "learning rate of D (two time scales); auto: beside --lr as the recipe has it",
    "betas": "of Adam",
    "schedule": "of the learning rates over the budget",
    "ema": "half-life of the generator's moving average, in images; 0 for none",
    "images": "the budget: real images drawn",
    "stabilize": "remedies",
    "shared_fake": "use one generated batch for both turns: faster, other sampling",
}

Optional = tyro.conf.arg


def train_options() -> list[tuple[str, Any, Any]]:
    """Options of `train` that every recipe has: name, annotated type, default."""

    def option(name: str, kind: Any, default: Any, text: str) -> tuple[str, Any, Any]:
        return name, Annotated[kind, tyro.conf.arg(help=text)], default

    return [
        option("out", Path | None, None, "run folder (default: runs/RECIPE-DATA)"),
        option("size", str | None, None, "one side such as 64, or height x width such as 64x96"),
        option("channels", int | None, None, "1 grey, 3 colour, 4 colour with alpha (default: as the data)"),
        option("seed", int, 0, "of every random draw"),
        option("device", str, "auto", "auto, cpu, cuda, cuda:1 or mps"),
        option("precision", Literal["fp32", "bf16"], "fp32", "bf16 only where the hardware has it"),
        option("accumulate", int, 1, "micro-batches that a batch is shared into, to save memory"),
        option("data_root", Path | None, None, "where named data sets lie"),
        option("cache", Path | None, None, "where decoded images are kept (default: the user's cache folder)"),
        option("max_bad", float, 0.01, "share of unreadable images that may be left out"),
        option("log_every", int | None, None, "images between lines of the log"),
        option("sample_every", int | None, None, "images between sample sheets"),
        option("checkpoint_every", int | None, None, "images between checkpoints"),
        option("metrics", str, "", "scored while training, such as fid,pr: the first one chooses the best checkpoint"),
        option("score_every", int | None, None, "images between scores (default: with each checkpoint)"),
        option("score_count", int, 2_000, "samples of a score while training"),
        option("extractor", str, "auto", "what looks at them: auto, inception, own, or a module such as net.py:make"),
        option("doctor", bool, True, "watch over the run: 2 % of the data are kept aside for it"),
        option("probe_every", int | None, None, "images between two probes of the doctor"),
        option("mulligans", int, 0, "strokes that may be played again when the run falls ill"),
        option("otherwise", Literal["go-on", "stop"], "go-on", "what a run does that no stroke has helped"),
        option("forecast", bool, False, "play a few rounds first and tell what the run will cost here"),
        option("tensorboard", bool, False, "write TensorBoard events too"),
    ]


def train_command(argv: Sequence[str]) -> None:
    """mulligan train RECIPE --data SOURCE [options]"""
    if not argv or argv[0].startswith("-"):
        usage = (
            "mulligan train RECIPE --data SOURCE [options]\n`mulligan recipes` lists the recipes; "
            "`mulligan train RECIPE --help` its options."
        )
        if "-h" not in argv and "--help" not in argv:
            fail(f"the recipe comes first: {usage}", 2)
        print(f"usage: {usage}")
        return
    from .verbs import train
    from .zoo import find

    recipe, prog = find(argv[0]), f"mulligan train {argv[0]}"
    given = tyro.cli(form(recipe), args=argv[1:], prog=prog, description=f"{recipe.summary}\n\n{recipe.paper}")
    train(argv[0], **vars(given))


def form(recipe: Recipe) -> type:
    """The recipe's arguments and the options of `train` as one dataclass for the parser."""
    import dataclasses

    from .core.recipe import admitted

    fields: list[Any] = [
        ("data", Annotated[str, tyro.conf.arg(help="folder, zip, .npy, .npz or a name (see mulligan --help)")])
    ]
    for parameter in recipe.parameters():
        text, kind = USUAL.get(parameter.name, ""), admitted(parameter)
        kind = Annotated[kind, tyro.conf.arg(help=text)] if text else kind
        fields.append((parameter.name, kind, dataclasses.field(default=parameter.default)))
    taken = {field[0] for field in fields}
    fields += [(n, kind, dataclasses.field(default=default)) for n, kind, default in train_options() if n not in taken]
    return dataclasses.make_dataclass("Train", fields)


Where = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="run folder")]
Label = Annotated[str | None, tyro.conf.arg(help="class number or name, on a run with labels")]
Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda, cuda:1 or mps")]


def sample_command(
    run: Where,
    count: Annotated[int, tyro.conf.arg(name="n", aliases=("-n",), help="how many")] = 64,
    seed: int = 0,
    label: Label = None,
    out: Annotated[Path | None, tyro.conf.arg(help="a .png for one sheet, or a folder for one file per sample")] = None,
    device: Device = "auto",
) -> None:
    """Pictures from a trained run."""
    from .verbs import load

    experiment = load(run, device)
    x = experiment.sample(count, seed, label)
    suffix = "" if label is None else f"-label-{label}"
    out = out or experiment.path / f"sample-seed-{seed}{suffix}.png"
    with writing(out):
        if out.suffix.lower() == ".png":
            out.parent.mkdir(parents=True, exist_ok=True)
            experiment.media.sheet(x, out)
        elif out.suffix:
            from .core.errors import UserError

            raise UserError(f"--out {out}: name a .png for one sheet, or a folder for one file per sample")
        else:
            experiment.media.files(x, out)
    print(out)


def interpolate_command(
    run: Where,
    out: Annotated[Path | None, tyro.conf.arg(help="a .gif")] = None,
    steps: Annotated[int, tyro.conf.arg(help="frames from one latent to the next")] = 16,
    through: Annotated[int, tyro.conf.arg(help="latents on the way; the walk returns to the first")] = 5,
    walks: Annotated[int, tyro.conf.arg(help="walks side by side")] = 9,
    seed: int = 0,
    label: Label = None,
    fps: int = 12,
    device: Device = "auto",
) -> None:
    """A walk through latent space as a GIF."""
    from .core.errors import UserError
    from .verbs import load

    experiment = load(run, device)
    out = out or experiment.path / f"walk-seed-{seed}.gif"
    if out.suffix.lower() != ".gif":
        raise UserError(f"--out {out}: a walk is written as .gif")
    if fps < 1:
        raise UserError(f"--fps {fps}: at least 1")
    frames = experiment.interpolate(steps, through, seed, label, walks)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        experiment.media.frames(frames, out, fps)
    print(out)


def info_command(run: Where) -> None:
    """What a run is and how far it got."""
    from .info import describe

    print(describe(run))


def recipes_command() -> None:
    """The recipes, one line each."""
    from .verbs import recipes

    for recipe in recipes():
        print(f"{recipe.name:<11} {recipe.summary}\n{'':<11} {recipe.paper}")


def trust_command(file: Annotated[Path, tyro.conf.Positional]) -> None:
    """Allow runs of others to use this recipe file, as it is now."""
    import hashlib

    from .core.errors import UserError
    from .trust import trust

    if not file.is_file():
        raise UserError(f"{file} isn't there")
    path = file.resolve()
    trust(hashlib.sha256(path.read_bytes()).hexdigest(), str(path))
    print(f"trusted: {path}")


class writing:
    """Context that turns a refusing disk into a message."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            from .core.errors import UserError

            raise UserError(
                f"can't write {self.path} ({error.strerror or error}): name another place with --out"
            ) from error


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_command, "sample": sample_command, "interpolate": interpolate_command,
    "info": info_command, "recipes": recipes_command, "trust": trust_command,
}  # fmt: skip
FURTHER = {
    "diagnose": "diagnose", "evaluate": "evaluate", "compare": "compare", "augment": "augment", "judge": "judge",
    "import": "bring",
}  # fmt: skip
"""Commands with a file of their own in `commands/`, whose function `command` is parsed."""
WORDS = {"train", "augment"}
"""Commands that take their words as they are: what there is to ask for depends on the recipe."""


def command_of(name: str) -> Callable[..., None]:
    """The function behind a word; its file is read only now."""
    if name in COMMANDS:
        return COMMANDS[name]
    return importlib.import_module(f".commands.{FURTHER[name]}", __package__).command


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point.

    Exit code 2 for wrong input, 130 and 143 after SIGINT and SIGTERM, 3 where numbers left the finite, where a run
    is ill and was to stop then, and where `diagnose` finds an illness.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return
    if argv[0] == "--version":
        from . import __version__

        print(f"mulligan {__version__}")
        return
    known = [*COMMANDS, *FURTHER]
    if argv[0] not in known:
        close = difflib.get_close_matches(argv[0], known, n=1, cutoff=0.4)
        hint = f", did you mean {close[0]!r}?" if close else ""
        fail(f"unknown command {argv[0]!r}{hint}; the commands are: {', '.join(known)}", 2)
    from .core.errors import UserError

    command = command_of(argv[0])
    try:
        if argv[0] in WORDS:
            command(argv[1:])
        else:
            tyro.cli(command, args=argv[1:], prog=f"mulligan {argv[0]}")
    except UserError as error:
        fail(str(error), error.code)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()


def fail(text: str, code: int) -> None:
    """Print a message and leave."""
    print(f"mulligan: {text}", file=sys.stderr)
    raise SystemExit(code)
