"""Mulligan: a GAN toolkit in plain PyTorch.

    import mulligan
    run = mulligan.train("dcgan", data="photos/", size=64, images=200_000)
    images = run.sample(16, seed=0)

Names are loaded when they are first used, so that importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "train": "verbs", "load": "verbs", "recipes": "verbs", "Experiment": "experiment",
    "evaluate": "assess.evaluate", "How": "assess.how", "compare": "assess.compare", "judge": "assess.judge",
    "bring": "weights.bring", "deliver": "export.deliver", "diagnose": "diagnosis", "Doctor": "doctor.observe",
    "Game": "core.game", "Turn": "core.game", "Clock": "core.clock",
    "Plan": "core.recipe", "recipe": "core.recipe", "Optim": "core.engine", "UserError": "core.errors",
    "Stabilize": "parts.stabilize", "Sampler": "parts.samplers", "open_source": "data",
}  # fmt: skip

if TYPE_CHECKING:
    from .assess.compare import compare as compare
    from .assess.evaluate import evaluate as evaluate
    from .assess.how import How as How
    from .assess.judge import judge as judge
    from .core.clock import Clock as Clock
    from .core.engine import Optim as Optim
    from .core.errors import UserError as UserError
    from .core.game import Game as Game
    from .core.game import Turn as Turn
    from .core.recipe import Plan as Plan
    from .core.recipe import recipe as recipe
    from .data import open_source as open_source
    from .diagnosis import diagnose as diagnose
    from .doctor.observe import Doctor as Doctor
    from .experiment import Experiment as Experiment
    from .export.deliver import deliver as deliver
    from .parts.samplers import Sampler as Sampler
    from .parts.stabilize import Stabilize as Stabilize
    from .verbs import load as load
    from .verbs import recipes as recipes
    from .verbs import train as train
    from .weights.bring import bring as bring


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"mulligan.{_HOME[name]}"), name)
    raise AttributeError(f"module 'mulligan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
