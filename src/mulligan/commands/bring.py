"""mulligan import FILE: a run folder from the weights of an official implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def command(
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE", help="a state_dict, or safetensors")],
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=("-o",), help="new run folder (runs/RECIPE-DATA if none)")
    ] = None,
) -> None:
    """A run folder from the weights of an official implementation; `sample` and the others take it like any run."""
    from mulligan.weights.bring import bring

    run = bring(file, out)
    settings, sampler = run.settings(), run.sampler
    facts, unknown = settings["imported"], "unknown: nothing on record has this SHA-256"
    lines = [
        ("network", f"{facts['network']}  (recipe {settings['recipe']}: {settings['paper'] or 'no paper named'})"),
        ("latent", f"{getattr(sampler, 'latent', '?')}, {getattr(sampler, 'prior', 'as the recipe says')}"),
        ("size", "×".join(map(str, settings["data"]["shape"]))),
        ("parameters", f"{sum(p.numel() for p in sampler.parameters()):,}"),
        ("file", f"{facts['file']}  ({facts['bytes']:,} bytes)"),
        ("SHA-256", facts["sha256"]),
        ("source", facts["source"] or unknown),
        ("licence", facts["licence"] or unknown),
    ]
    print("\n".join(f"{name:<10} {text}" for name, text in lines))
    print(run.path)
