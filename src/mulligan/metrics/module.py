"""A network of the user's own as extractor: a function of a Python file that makes a torch.nn.Module."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import UserError
from ..core.recipe import from_file, nearest
from .inception import full_precision

HOW = """write a Python file that makes the network and loads its weights as plain tensors, and name it net.py:make

import torch
def make():
    net = MyNetwork()
    net.load_state_dict(torch.load("weights.pt", weights_only=True))
    return net"""
ALIKE = 1e-2
"""How far a picture's features may move with its batch, as a share of their norm."""


class Own:
    """An Extractor around a module of the user's. Made by `module_extractor`."""

    official = False
    preprocessing = "float32 in [-1, 1] (x / 127.5 - 1), then what the module does; points as they are"

    def __init__(self, name: str, network: nn.Module, sha256: str, device: torch.device) -> None:
        self.name, self.sha256, self.device = name, sha256, device
        self.network = network.to(device).eval().requires_grad_(False)
        self.widths: dict[tuple[int, ...], tuple[int, int | None]] = {}
        self.alone = False

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 pictures (n, C, H, W) or float32 points (n, d) to features (n, F) and logits (n, K) or None.

        Both float32 on the CPU. Raises UserError where the module's answer isn't that, isn't finite, has another
        width than before, or depends on the other pictures of the batch.
        """
        pictures = x.to(self.device)
        if pictures.dtype == torch.uint8:
            pictures = pictures.float() / 127.5 - 1
        features, logits = self._answer(pictures)
        widths = (features.shape[1], None if logits is None else logits.shape[1])
        before = self.widths.setdefault(tuple(x.shape[1:]), widths)
        if widths != before:
            raise UserError(f"{self.name} gave {before} features and logits for such pictures, and now {widths}")
        if not self.alone and len(x) > 1:
            self._check_alone(pictures[:1], features[:1])
            self.alone = True
        return features, logits

    @torch.no_grad()
    def floats(self, x: Tensor) -> Tensor:
        """Unrounded pictures (n, C, H, W) in [-1, 1] to features (n, F): what a path length needs. Raises UserError."""
        return self._answer(x.to(self.device, torch.float32))[0]

    def _answer(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        try:
            with full_precision(self.device):
                answer = self.network(x.clone())  # it may write into what it gets
        except Exception as error:  # a program of the user's
            raise UserError(f"{self.name} failed on an input of shape {tuple(x.shape)}: {_said(error)}") from error
        features, logits = answer if isinstance(answer, (tuple, list)) and len(answer) == 2 else (answer, None)
        features = self._checked(features, len(x), "features").flatten(1)
        if logits is not None:
            logits = self._checked(logits, len(x), "logits")
            if logits.dim() != 2:
                raise UserError(f"{self.name} gives logits of shape {tuple(logits.shape)} instead of (n, classes)")
        return features, logits

    def _checked(self, value: Any, n: int, what: str) -> Tensor:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"{self.name} gives {kind} where {what} are due: it must return features (n, …), or a pair "
                "(features, logits), of floating-point tensors"
            )
        if value.dim() < 2 or len(value) != n:
            raise UserError(
                f"{self.name} gives {what} of shape {tuple(value.shape)} for {n} pictures: there must be one row each"
            )
        value = value.float().cpu()
        if not value.isfinite().all():
            raise UserError(f"{self.name} gives {what} that are not finite: {int((~value.isfinite()).sum())} numbers")
        return value

    def _check_alone(self, picture: Tensor, within: Tensor) -> None:
        """Once: the first picture by itself must give what it gave among the others."""
        alone, _ = self._answer(picture)
        if alone.shape != within.shape or (alone - within).norm() > ALIKE * within.norm() + 1e-6:
            raise UserError(
                f"{self.name} gives a picture other features alone than among others, or draws random numbers: "
                "distances would depend on the batch. It is in eval mode already; look for statistics over the batch."
            )


def module_extractor(spec: str, device: torch.device) -> Own:
    """`net.py:make`: a function without arguments, or a class, that makes a torch.nn.Module.

    The module gets float32 pictures (n, C, H, W) in [-1, 1] and returns features (n, F…), or these and logits (n, K).
    The file is run: it must be one that the user trusts. Weights that it draws at random are the same each time.
    `sha256` is that of the file, then of the module's tensors: other weights are another extractor. Raises UserError.
    """
    file_name, _, name = spec.rpartition(":")
    path = _python_file(file_name or name, bool(file_name and name))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = _made(path, name, data)
    return Own(f"{path.name}:{name}", network, _sha256(data, network), device)


def _python_file(file_name: str, named: bool) -> Path:
    path = Path(file_name).expanduser().resolve()
    if path.suffix in (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"):
        raise UserError(
            f"{path.name} can't be an extractor: a pickled module is a program that nobody can read, and is never "
            f"loaded. Instead {HOW}"
        )
    if path.suffix != ".py":
        raise UserError(f"{file_name} is not a Python file: {HOW}")
    if not path.is_file():
        raise UserError(f"{file_name} isn't there (looked for {path})")
    if not named:
        raise UserError(f"which function or class of {file_name} makes the network? Name it as in {path.name}:make")
    return path


def _made(path: Path, name: str, data: bytes) -> nn.Module:
    """The module that the bytes of the file make; the file itself isn't read again."""
    try:
        network: Any = from_file(f"{path}:{name}", data).build()
    except Exception as error:  # the file is the user's program and may fail in any way
        if not isinstance(error, UserError):
            raise UserError(f"{path.name}:{name} failed: {_where(error, path)}{_said(error)}") from error
        if _where(error, path):
            raise
        known = [node.name for node in ast.parse(data).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        raise UserError(
            f"{path.name} has no function or class {name!r}{nearest(name, known)}; it has: {', '.join(known) or 'none'}"
        ) from None
    if not isinstance(network, nn.Module):
        raise UserError(f"{path.name}:{name} makes a {type(network).__name__}, but must make a torch.nn.Module")
    return network


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _where(error: Exception, path: Path) -> str:
    """'line 3: ', the last one of the file that the error has gone through."""
    lines = [error.lineno] if isinstance(error, SyntaxError) else []
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"line {lines[-1]}: " if lines else ""


def _sha256(data: bytes, network: nn.Module) -> str:
    digest = hashlib.sha256(hashlib.sha256(data).digest())
    tensors = {**dict(network.named_buffers()), **network.state_dict()}
    for name, value in sorted(tensors.items()):
        if isinstance(value, Tensor):
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
            digest.update(plain.numpy().data)
    return digest.hexdigest()
