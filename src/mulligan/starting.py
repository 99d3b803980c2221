"""Fine-tuning: a run that starts from the weights of another run, or of a file of official ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .core.checkpoints import file_digest, read_state
from .core.errors import UserError
from .core.game import Game
from .core.recipe import Recipe, flatten, nest
from .core.run import Run
from .experiment import Experiment
from .parts.freezing import freeze
from .weights.bring import recognise
from .weights.reading import read

TRAINING = {
    "batch",
    "critic_turns",
    "lr",
    "lr_d",
    "betas",
    "schedule",
    "ema",
    "images",
    "shared_fake",
    "mixing",
    "path",
}
"""Arguments about training, which a new run chooses for itself; the others are those of the networks."""


@dataclass(frozen=True)
class Origin:
    """Where trained weights come from: settings as in `recipe.json`, tensors by the names of the sampler and of D."""

    name: str
    settings: dict[str, Any]
    sampler: dict[str, Tensor]
    critic: dict[str, Tensor]
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.settings["data"]["shape"])


@dataclass
class Start:
    """The beginning of a run: weights from elsewhere, and layers of D that stay as they are.

    `path` is a run folder or a file of weights, None for none.
    """

    path: Path | None = None
    frozen: int = 0
    loaded: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """What to tell the user: what was loaded and what was not, and what is frozen."""
        frozen = [f"frozen in D: {', '.join(self.kept)}"] if self.kept else []
        return [*(f"from {self.path}: {line}" for line in self.loaded), *frozen]

    @cached_property
    def origin(self) -> Origin | None:
        """What lies there. Raises UserError where it can't be read."""
        if self.path is None:
            return None
        return of_run(self.path) if self.path.is_dir() else of_file(self.path)

    def arguments(self, recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
        """Those given, and the origin's networks where nothing else was asked for.

        Raises UserError where the weights belong to another recipe.
        """
        if self.origin is None:
            return given
        theirs = self.origin.settings
        if theirs["recipe"] != recipe.spec:
            raise UserError(
                f"--from {self.origin.name} holds weights of {theirs['recipe']}: train {theirs['recipe']}, not "
                f"{recipe.name}"
            )
        own, flat = flatten(recipe.defaults()), flatten(given)
        for name, value in theirs["arguments"].items():
            if name.split(".")[0] in TRAINING | {"stabilize"} or name not in flat:
                continue
            if flat[name] == own.get(name):
                flat[name] = value
        return recipe.arguments(nest(flat))

    @property
    def picture(self) -> tuple[int, ...]:
        """(C, H, W) of the weights' pictures; empty where there are none."""
        return self.origin.shape if self.origin is not None and len(self.origin.shape) == 3 else ()

    def size(self, asked: tuple[int, int] | None) -> tuple[int, int] | None:
        """The size of pictures: that of the weights, where no other is asked for."""
        return asked if asked is not None or not self.picture else (self.picture[1], self.picture[2])

    def channels(self, asked: int | None) -> int | None:
        """Their channels, likewise."""
        return asked if asked is not None or not self.picture else self.picture[0]

    def prepare(self, game: Game, shape: tuple[int, ...], fresh: bool) -> None:
        """Put the weights into a game that starts, and freeze D's first layers.

        Not `fresh`: the game goes on from a checkpoint of its own, and nothing is read.
        """
        D = game.get_submodule("critic.D") if _has_critic(game) else None
        if self.frozen and self.path is None:
            raise UserError(f"--freeze-d {self.frozen} keeps layers that have learnt something: name them with --from")
        if self.path is not None:
            game.started()
            if fresh and self.origin is not None:
                self.loaded = [put(game.sampler, self.origin.sampler, "G")]
                if D is not None:
                    self.loaded.append(put(D, self.origin.critic, "D"))
        if self.frozen:
            if D is None:
                raise UserError(f"--freeze-d {self.frozen}: this game has no discriminator behind remedies to freeze")
            self.kept = freeze(D, self.frozen, shape, getattr(D, "packing", 1))
            if fresh and self.origin is not None:
                self._check_kept(D, self.origin.critic)

    def _check_kept(self, D: nn.Module, theirs: dict[str, Tensor]) -> None:
        """Raises UserError where a layer would stay as it was drawn."""
        for layer in self.kept:
            for name, value in D.get_submodule(layer).state_dict().items():
                found = theirs.get(f"{layer}.{name}")
                if found is None or found.shape != value.shape:
                    what = "isn't there" if found is None else f"has another shape there ({tuple(found.shape)})"
                    raise UserError(
                        f"--freeze-d {self.frozen} would keep {layer} of D as it was drawn: its {name} {what}. Leave "
                        "--freeze-d out, or take the size, the channels and the networks of --from"
                    )

    def facts(self) -> dict[str, Any]:
        """What `recipe.json` records of it; empty where a run starts from nothing."""
        facts: dict[str, Any] = {}
        if self.origin is not None:
            facts["from"] = {"source": str(self.path), "name": self.origin.name, "sha256": self.origin.digest}
            if "imported" in self.origin.settings:
                facts["from"]["imported"] = self.origin.settings["imported"]
        return facts | ({"freeze_d": self.frozen} if self.frozen else {})


def of_run(path: Path) -> Origin:
    """The averaged generator of a run and its discriminator: of its newest checkpoint, or imported beside it."""
    run = Experiment(path, "cpu")
    settings = run.settings()
    sampler, critic = run.sampler.state_dict(), dict[str, Tensor]()
    newest = run.checkpoints.newest_first()
    if newest:
        state = read_state(newest[0], run.checkpoints.digests().get(newest[0].name, set()))
        inside = "critic.D."
        critic = {k.removeprefix(inside): v for k, v in state["game"].items() if k.startswith(inside)}
    elif run.critic_file.is_file():
        critic = read(run.critic_file).tensors
    source = run.sampler_file if run.sampler_file.is_file() else newest[0]
    return Origin(str(path), settings, sampler, critic, file_digest(source))


def of_file(path: Path) -> Origin:
    """The networks of a file of official weights."""
    weights = read(path)
    found = recognise(weights)
    settings = {
        "recipe": found.recipe, "arguments": found.arguments, "data": found.data,
        "imported": {"file": path.name, "network": found.network, "licence": found.licence},
    }  # fmt: skip
    return Origin(str(path), settings, found.tensors, found.critic, weights.sha256)


def put(net: nn.Module, tensors: dict[str, Tensor], who: str) -> str:
    """Load what fits by name and shape, and say what did and what didn't."""
    if not tensors:
        return f"{who} starts anew: there are no weights of it"
    wanted = net.state_dict()
    fits = {k: v for k, v in tensors.items() if k in wanted and v.shape == wanted[k].shape}
    new = [k for k in wanted if k not in fits]
    left = [k for k in tensors if k not in fits]
    net.load_state_dict({k: v.to(wanted[k].dtype) for k, v in fits.items()}, strict=False)
    numbers, whole = sum(wanted[k].numel() for k in fits), sum(v.numel() for v in wanted.values())
    line = (
        f"{who}: {len(fits):,} of {len(wanted):,} tensors loaded ({100 * numbers / max(whole, 1):.3g} % of its numbers)"
    )
    if new:
        line += f"; not loaded, so new: {_some(new)}"
    return line + (f"; left over: {_some(left)}" if left else "")


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _has_critic(game: nn.Module) -> bool:
    try:
        game.get_submodule("critic.D")
    except AttributeError:
        return False
    return True


def begun(run: Run) -> bool:
    """Whether a run has a checkpoint to go on from."""
    return run.exists and bool(run.checkpoints.newest_first())
