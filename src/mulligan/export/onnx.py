"""The averaged generator as one ONNX graph, checked against PyTorch before anyone sees the file."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import mulligan
from mulligan.core.errors import UserError
from mulligan.experiment import Experiment
from mulligan.parts.samplers import Sampler

from .facts import digest, example, latents, plain, tensors
from .plain import Shipped, symbolic_len

OPSET = 18
TOLERANCE = 1e-4
"""Of the largest difference between ONNX Runtime and PyTorch, as a share of the range of the samples."""
BATCHES = (1, 3, 5)
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def needed() -> None:
    """Raises UserError naming the first package that isn't installed."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(f"ONNX needs {name}, which isn't installed: pip install 'mulligan[onnx]'") from error


def write(run: Experiment, path: Path, header: dict[str, Any], psi: float = 1.0) -> str:
    """The graph x = G(z, y) with a free batch; gives the worst difference to PyTorch in words.

    z (batch, latent) float32, drawn as the metadata say; y (batch,) int64 labels, or (batch, k) float32 numbers, only
    where the generator takes them; x (batch, *shape) float32, pictures in [-1, 1]. psi is a part of the graph, noise
    inside the generator is fixed. Raises UserError for a missing package, a generator that can't be traced, one of
    more than 2 GB, and a difference beyond TOLERANCE.
    """
    needed()
    if psi != 1 and not (plain(run.sampler) or getattr(run.sampler, "styled", False)):
        raise UserError(f"{run.path} draws its latents in a way of its own: leave --psi out")
    steps = tqdm(total=2 + len(BATCHES), desc="ONNX", unit="step", leave=False, disable=None)
    with steps:
        inputs = example(run, 2)
        model = translated(run, inputs, psi)
        steps.update()
        dressed(model, inputs, run.described.shape, metadata(run, header, psi))
        try:
            path.write_bytes(model.SerializeToString())
        except ValueError as error:  # protobuf's own limit
            raise UserError(f"{run.path}: an ONNX file holds 2 GB at most ({error}): take --to safetensors") from error
        steps.update()
        worst = compared(run, path, psi, steps)
    return (
        f"ONNX Runtime and PyTorch differ by {worst:.2g} of the range at most, at batch {', '.join(map(str, BATCHES))}"
    )


def translated(run: Experiment, inputs: tuple[Tensor, ...], psi: float) -> Any:
    """The graph as onnx.ModelProto. Raises UserError where PyTorch can't trace or translate the generator."""
    run.truncate(psi)
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name, _ in zip("zy", inputs)}
    try:
        with torch.no_grad(), quiet():
            with symbolic_len():
                graph = torch.export.export(Shipped(run.sampler, psi), inputs, dynamic_shapes=shapes, strict=False)
            program = torch.onnx.export(
                graph, (), dynamo=True, input_names=list(shapes), output_names=["x"], opset_version=OPSET,
                external_data=False, verbose=False,
            )  # fmt: skip
    except Exception as error:  # the exporter raises classes of every kind
        cause = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"the generator of {run.path} can't be written as ONNX ({cause[0][:200]}): take --to safetensors"
        ) from error
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's remarks, which are for those who work on it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def dressed(model: Any, inputs: tuple[Tensor, ...], shape: tuple[int, ...], facts: dict[str, str]) -> None:
    """Put the metadata in, name the batch, and take out what the exporter noted of this machine's files."""
    from onnx import helper

    del model.graph.value_info[:]
    for graph in (model.graph, *model.functions):
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        del graph.metadata_props[:]
    sides = [tuple(value.shape[1:]) for value in inputs] + [shape]
    for value, rest in zip([*model.graph.input, *model.graph.output], sides, strict=True):
        del value.metadata_props[:]
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        for dim, side in zip(dims[1:], rest, strict=True):
            dim.dim_value = side
    helper.set_model_props(model, facts)
    model.producer_name, model.producer_version, model.doc_string = "mulligan", mulligan.__version__, ""


def metadata(run: Experiment, header: dict[str, Any], psi: float) -> dict[str, str]:
    """What stands in the file's metadata_props; everything is text, lists and tables are JSON."""
    data = header["data"]
    facts: dict[str, Any] = {
        "recipe": header["recipe"], "paper": header.get("paper", ""), "arguments": header["arguments"],
        "data": data["name"], "shape": data["shape"], "classes": list(run.classes), "latent": latents(run.sampler),
        "psi": psi, "range": "[-1, 1]" if len(data["shape"]) == 3 else "as the data", "opset": OPSET,
        "weights_sha256": digest(tensors(run)), "versions": header.get("versions", {}),
    }  # fmt: skip
    if run.columns:
        facts |= {"columns": list(run.columns), "scaling": data.get("scaling", [])}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def compared(run: Experiment, path: Path, psi: float, steps: Any) -> float:
    """The largest difference between ONNX Runtime and PyTorch, as a share of the range. UserError beyond TOLERANCE."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for n in BATCHES:
        inputs = drawn(run, n, psi)
        given = {name: value.numpy() for name, value in zip("zy", inputs)}
        (x,) = session.run(None, given)
        worst = max(worst, difference(torch.from_numpy(x), reference(run, *inputs)))
        steps.update()
    if not worst <= TOLERANCE:  # NaN is beyond every bound
        raise UserError(
            f"ONNX Runtime and PyTorch differ by {worst:.2g} of the range for {run.path}, {TOLERANCE:g} is allowed: "
            "nothing is kept. Take --to safetensors, or another version of onnxruntime"
        )
    return worst


def drawn(run: Experiment, n: int, psi: float) -> tuple[Tensor, ...]:
    """Inputs as users draw them, without truncation: that is in the graph."""
    run.truncate(1)
    inputs = example(run, n, seed=n)
    run.truncate(psi)
    return inputs


def reference(run: Experiment, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Samples (n, *shape) by the run's own generator, with nothing folded or replaced."""
    sampler = run.sampler
    with torch.no_grad():
        return sampler.decode(sampler.shortened(z) if isinstance(sampler, Sampler) else z, y).float()


def difference(x: Tensor, truth: Tensor) -> float:
    """The largest absolute difference over the range of the truth; infinite for another shape."""
    if x.shape != truth.shape:
        return math.inf
    span = float(truth.max() - truth.min()) or float(truth.abs().max()) or 1.0
    return float((x - truth).abs().max()) / span
