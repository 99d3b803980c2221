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
  sample RUN                   pictures from a trained run: a sheet, or very many into a folder or a zip
  interpolate RUN              a walk through styles or latents as a GIF or a video
  mix RUN                      the coarse, middle or fine styles of one picture in another
  directions RUN               what its pictures change in most, from the weights alone
  invert RUN PHOTO …           what the generator must be given to make a photo again
  arithmetic RUN               seeds added and subtracted: with glasses - without + another
  info RUN                     what a run is and how far it got
  diagnose RUN                 what ails a training, and what helps; or --csv FILE of any training loop
  evaluate RUN                 scores with their protocol; or --fake FOLDER --real FOLDER
  compare RUN RUN …            scores, samples, curves and cost side by side, as one page
  augment --data SOURCE        whether generated samples of a rare class help a classifier
  judge RUN                    a page on which people tell real from generated
  import FILE                  a run folder from weights of an official implementation
  export RUN                   ONNX, safetensors, a folder for a model hub, or a model card
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
    "reconstruction": "weight of what D paints from its features",
    "mixing": "how often two latents share a picture in training",
    "path": "weight of the path length; 0 for none",
    "shared_fake": "use one generated batch for both turns: faster, other sampling",
}

Optional = tyro.conf.arg


def train_options() -> list[tuple[str, Any, Any]]:
    """Options of `train` that every recipe has: name, annotated type, default."""

    def option(name: str, kind: Any, default: Any, text: str, flag: str | None = None) -> tuple[str, Any, Any]:
        return name, Annotated[kind, tyro.conf.arg(help=text, name=flag)], default

    return [
        option("out", Path | None, None, "run folder (default: runs/RECIPE-DATA)"),
        option("size", str | None, None, "one side such as 64, or height x width such as 64x96"),
        option("channels", int | None, None, "1 grey, 3 colour, 4 colour with alpha (default: as the data)"),
        option("labels", str | None, None, "CSV of labels or numbers (default: labels.csv beside the images); none"),
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
        option("start_from", Path | None, None, "fine-tune the weights of a run or of an official file", "from"),
        option("freeze_d", int, 0, "layers of D, from the picture on, that stay as they are while fine-tuning"),
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


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_command, "info": info_command, "recipes": recipes_command, "trust": trust_command,
}  # fmt: skip
FURTHER = {
    "sample": "sample", "interpolate": "interpolate", "mix": "mix", "directions": "directions",
    "arithmetic": "arithmetic", "invert": "invert",
    "diagnose": "diagnose", "evaluate": "evaluate", "compare": "compare", "augment": "augment", "judge": "judge",
    "import": "bring", "export": "export",
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
