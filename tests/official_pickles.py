"""Checkpoints in the layouts of NVIDIA, R3GAN and pytorch_GAN_zoo, with classes of our own under their names."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

SOURCE = "open({flag!r}, 'w').close()\nclass Generator: pass\n"


class EasyDict(dict[str, Any]):
    """Stands in for NVIDIA's."""


class Persistent(nn.Module):
    """Pickled as NVIDIA's modules are: its class as a program, which `rebuild` runs, and its state."""

    flag = "nowhere"

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__()
        self._init_args, self._init_kwargs = args, EasyDict(named)

    def __reduce__(self) -> Any:
        source = SOURCE.format(flag=self.flag)
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": type(self).__name__}
        return rebuild, (EasyDict(meta, state=self.__dict__),)


def rebuild(meta: dict[str, Any]) -> Any:
    exec(meta["module_src"], {})


class Layer(Persistent):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3).to(memory_format=torch.channels_last))
        self.register_parameter("bias", None)
        self.register_buffer("filter", torch.randn(4, 4)[:, 1:3])
        self.register_buffer("scale", torch.randn(()).double())
        self.register_buffer("passing", torch.randn(2), persistent=False)


class Generator(Persistent):
    def __init__(self, z_dim: int, **named: Any) -> None:
        super().__init__(z_dim, **named)
        first, second = Layer(3, 4), Layer(4, 2)
        second.weight = nn.Parameter(second.weight.detach().bfloat16(), requires_grad=False)
        self.layers = nn.ModuleList([first, second])
        self.head, self.nothing = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), None
        self.tied = self.head[0]
        self.register_buffer("w_avg", torch.zeros(0, 3))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("counts", torch.arange(5)[::2].to(torch.int16))


class Plain(nn.Module):
    """A network of R3GAN: a module as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.Layers, self.DataType = nn.ModuleList([nn.Conv2d(3, 2, 1), nn.Identity()]), torch.bfloat16
        self.register_buffer("Kernel", torch.randn(1, 3))


class BaseConfig:
    """Stands in for pytorch_GAN_zoo's."""


class Network:
    """Stands in for NVIDIA's before PyTorch."""

    def __init__(self, **state: Any) -> None:
        self.__dict__ |= state


@contextlib.contextmanager
def foreign() -> Iterator[None]:
    """Our stand-ins under the names of theirs, as long as a file is written."""
    names = {
        "torch_utils.persistence": (rebuild,), "dnnlib.util": (EasyDict,), "R3GAN.Networks": (Plain,),
        "models.utils.config": (BaseConfig,), "dnnlib.tflib.network": (Network,),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "__qualname__", "_reconstruct_persistent_obj")
        for module, members in names.items():
            patch.setitem(sys.modules, module.partition(".")[0], types.ModuleType(module.partition(".")[0]))
            patch.setitem(sys.modules, module.rpartition(".")[0], types.ModuleType(module.rpartition(".")[0]))
            patch.setitem(sys.modules, module, types.ModuleType(module))
            for member in members:
                patch.setattr(member, "__module__", module)
                setattr(sys.modules[module], member.__qualname__, member)
        yield


def pickled(value: Any, protocol: int = 4) -> bytes:
    with foreign():
        return pickle.dumps(value, protocol)


def saved(value: Any, zipped: bool) -> bytes:
    file = io.BytesIO()
    with foreign():
        torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()
