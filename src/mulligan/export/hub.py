"""A folder that is ready to be pushed to a model hub. Nothing here sends anything anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mulligan.core.errors import UserError
from mulligan.core.run import warn
from mulligan.experiment import Experiment

from . import onnx
from .card import card
from .facts import digest, latents, tensors

SHOWN = 36  # samples on the sheet


def safetensors(run: Experiment, path: Path, header: dict[str, Any]) -> str:
    """The weights, the settings of the run as header: `mulligan import` makes a run folder of it again."""
    from safetensors.torch import save

    state = tensors(run)
    path.write_bytes(save(state, {"mulligan": json.dumps(header)}))
    return f"SHA-256 of the weights {digest(state)}"


def config(run: Experiment, header: dict[str, Any], psi: float) -> dict[str, Any]:
    """What `config.json` says."""
    sampler, data = run.sampler, header["data"]
    told = {
        "library_name": "mulligan", "recipe": header["recipe"], "paper": header.get("paper", ""),
        "arguments": header["arguments"], "shape": data["shape"], "classes": list(run.classes),
        "columns": list(run.columns), "latent": getattr(sampler, "latent", None), "latents": latents(sampler),
        "parameters": sum(p.numel() for p in sampler.parameters()), "weights_sha256": digest(tensors(run)),
        "versions": header.get("versions", {}), "data": data["name"], "fingerprint": data["fingerprint"],
    }  # fmt: skip
    return told if psi == 1 else {**told, "psi": psi}


def write(run: Experiment, folder: Path, header: dict[str, Any], psi: float = 1.0, verdict: str = "") -> str:
    """model.safetensors, config.json, README.md, samples.png, and model.onnx where its packages are installed.

    Gives what there is to say about model.onnx; where it can't be written, a warning says why. psi holds for it and for
    samples.png.
    """
    folder.mkdir()
    safetensors(run, folder / "model.safetensors", header)
    graph = folder / "model.onnx"
    try:
        told = f"model.onnx: {onnx.write(run, graph, header, psi)}"
    except UserError as error:
        graph.unlink(missing_ok=True)
        told = "model.onnx is left out"
        warn(f"{told}: {error}")
    (folder / "config.json").write_text(json.dumps(config(run, header, psi), indent=2) + "\n", encoding="utf-8")
    run.truncate(psi)
    run.media.sheet(run.sample(SHOWN), folder / "samples.png")
    text = card(run, header, psi=psi, verdict=verdict, folder=True, graph=graph.is_file())
    (folder / "README.md").write_text(text, encoding="utf-8")
    return told
