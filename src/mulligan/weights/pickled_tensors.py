"""Tensors of torch and arrays of numpy from pickled parts: every number in them must lie in the bytes of the file.

Formats: `torch._utils`, and `ndarray.__reduce__` of numpy.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from .pickled_values import SIZES, Budget, Name, Refused, Storage, Tensor, shown

DIMENSIONS = 16
LARGEST = 2**40  # of a size, a stride or an offset: products of a few stay small numbers
STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}  # fmt: skip
ARRAYS = {
    "f8": "F64", "f4": "F32", "f2": "F16", "b1": "BOOL",
    "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8",
}  # fmt: skip
SCALARS = {
    "F64": "<d", "F32": "<f", "F16": "<e", "BOOL": "<?",
    "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U64": "<Q", "U32": "<I", "U16": "<H", "U8": "<B",
}  # fmt: skip


class Kind:
    """A dtype of numpy."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


def whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise Refused(f"a size, a stride or a place that is no number from 0 to {LARGEST:,}")
    return value


def sizes(value: Any) -> tuple[int, ...]:
    if type(value) not in (tuple, list) or len(value) > DIMENSIONS:
        raise Refused(f"a shape that isn't {DIMENSIONS} numbers at most")
    return tuple(whole(size) for size in value)


def shape_of(value: Any) -> tuple[int, ...]:
    shape = sizes(value)
    whole(math.prod(max(size, 1) for size in shape))  # nobody multiplies sizes beyond it, with or without a 0
    return shape


def packed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides without gaps, the last dimension the quickest."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`, whose further arguments are for gradients."""
    if type(storage) is not Storage:
        raise Refused("a tensor without a storage")
    made = Tensor(shape_of(shape), sizes(strides), whole(offset), storage)
    if len(made.shape) != len(made.strides):
        raise Refused("a tensor with another number of strides than of sizes")
    last = made.offset + sum((size - 1) * stride for size, stride in zip(made.shape, made.strides))
    if made.offset > storage.count or (made.count and last >= storage.count):
        raise Refused(f"a tensor that reaches to number {last:,} of a storage with {storage.count:,}")
    return made


def parameter(data: Any, *_: Any) -> Tensor:
    """`_rebuild_parameter`, with or without a state."""
    if type(data) is not Tensor:
        raise Refused("a parameter without a tensor")
    return data


def dtype(code: Any, *_: Any) -> Kind:
    """`numpy.dtype`. Objects and texts aren't on the list: the first are pickles again."""
    if type(code) is not str or code not in ARRAYS:
        # a list isn't shown: in words it may be longer than any memory
        raise Refused(f"an array of {shown(code) if type(code) is str else 'something'}, not of numbers")
    return Kind(ARRAYS[code])


def check_dtype(state: Any) -> None:
    """The state of a dtype says nothing new, or something that isn't on the list."""
    plain = type(state) is tuple and len(state) >= 5 and state[1] in ("<", "|", "=") and state[2:5] == (None,) * 3
    if not plain:
        raise Refused("an array of structures, or of numbers in another order of bytes")


def array(base: Any, *_: Any) -> Tensor:
    """`_reconstruct`: an array whose state comes next."""
    if base != Name("numpy", "ndarray"):
        raise Refused("an array of another class than numpy.ndarray")
    return Tensor()


def fill_array(made: Tensor, state: Any, budget: Budget) -> None:
    """Version, shape, dtype, whether the first dimension is the quickest, and bytes."""
    if made.storage is not None or type(state) is not tuple or len(state) != 5:
        raise Refused("an array with a state of another form than numpy's")
    _, shape, kind, fortran, data = state
    _fill(made, raw(data, budget), kind, shape_of(shape), fortran is True)


def array_of(data: Any, kind: Any, shape: Any, order: Any) -> Tensor:
    """`_frombuffer`: an array of protocol 5."""
    if type(data) is not memoryview or order not in ("C", "F"):
        raise Refused("an array without bytes")
    made = Tensor()
    _fill(made, data, kind, shape_of(shape), order == "F")
    return made


def _fill(made: Tensor, data: memoryview, kind: Any, shape: tuple[int, ...], fortran: bool) -> None:
    if type(kind) is not Kind:
        raise Refused("an array without a dtype")
    storage = Storage(kind.kind, math.prod(shape))
    storage.fill(data)
    made.shape, made.storage = shape, storage
    made.strides = packed(shape[::-1])[::-1] if fortran else packed(shape)


def scalar(kind: Any, data: Any) -> Any:
    """`numpy.core.multiarray.scalar` as a number of Python's."""
    if type(kind) is not Kind or type(data) is not memoryview or len(data) != SIZES[kind.kind]:
        raise Refused("a number of numpy without its bytes")
    return struct.unpack(SCALARS[kind.kind], data)[0]


def encoded(text: Any, encoding: Any, budget: Budget) -> memoryview:
    """`_codecs.encode`: how bytes are written in protocol 2."""
    if type(encoding) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("bytes in an unknown encoding")
    return raw(text, budget)


def raw(data: Any, budget: Budget) -> memoryview:
    """Bytes, which Python 2 and protocol 2 write as text."""
    if type(data) is memoryview:
        return data
    if type(data) is not str:
        raise Refused("numbers that aren't bytes")
    budget.copy(len(data))
    try:
        return memoryview(data.encode("latin-1"))
    except UnicodeEncodeError:
        raise Refused("bytes that are no bytes") from None
