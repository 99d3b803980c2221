"""The files that hold pickles of weights: one plain pickle, and what torch.save has written over the years."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .pickled import Machine
from .pickled_names import Call, calls
from .pickled_tensors import STORAGES, whole
from .pickled_values import SIZES, Budget, Name, Refused, Storage
from .pickled_zip import LOCAL, Archive

MAGIC = 0x1950A86A20F9469CFC6C
"""The first of the pickles in which torch wrote its files before 1.6, and writes storages until today."""
PROTOCOL = 1001
NESTED = Name("torch.storage", "_load_from_bytes")

Known = dict[Name, Call]


def content(data: memoryview) -> Any:
    """What a file holds, in stand-ins. Raises Refused, or Forbidden where it wants code to be run."""
    budget = Budget(len(data))
    known = calls(budget)
    if data[:4] == LOCAL:
        return _archive(data, known, budget)
    inside = dict(known)
    known[NESTED] = Call(lambda inner: _nested(inner, inside, budget), 1, 1)
    machine = Machine(data, 0, known, budget)
    value = machine.run()
    if type(value) is int and value == MAGIC:
        return _stream(machine, inside, budget)
    if machine.at != len(data):
        raise Refused("there are bytes behind the end of its pickle")
    return value


def _nested(data: Any, known: Known, budget: Budget) -> Storage:
    """The bytes of one storage, which torch's own reader would load without any care."""
    if type(data) is not memoryview or data[:1] != b"\x80":
        raise Refused("a storage of another form than torch's")
    machine = Machine(data, 0, known, budget)
    if machine.run() != MAGIC:
        raise Refused("a storage of another form than torch's")
    value = _stream(machine, known, budget)
    if type(value) is not Storage:
        raise Refused("the bytes of a storage hold something else")
    return value


def _stream(machine: Machine, known: Known, budget: Budget) -> Any:
    """Behind the magic number: protocol, facts, the object, the keys of its storages, and their numbers."""
    data, storages = machine.data, dict[str, Storage]()

    def stored(key: str, kind: str, count: int) -> Storage:
        found = storages.setdefault(key, Storage(kind, count))
        if (found.kind, found.count) != (kind, count):
            raise Refused("a storage of two kinds or lengths")
        if count * SIZES[kind] > len(data):
            raise Refused(f"it claims {count * SIZES[kind]:,} bytes, it has {len(data):,}")
        return found

    def following(lookup: Callable[[Any], Any] | None = None) -> Any:
        inner = Machine(data, machine.at, known, budget, lookup)
        value = inner.run()
        machine.at = inner.at
        return value

    if following() != PROTOCOL:
        raise Refused("a file of another protocol than torch's")
    facts = following()
    if type(facts) is not dict or facts.get("little_endian") is not True:
        raise Refused("numbers in another order of bytes")
    value, keys = following(_lookup(stored)), following()
    if type(keys) is not list or not all(type(key) is str and key in storages for key in keys):
        raise Refused("a list of storages that aren't its own")
    for key in keys:
        storage = storages.pop(key, None)
        if storage is None or machine.number(8) != storage.count:
            raise Refused("a storage of another length than it was said to have")
        storage.fill(machine.take(storage.count * SIZES[storage.kind]))
    if storages or machine.at != len(data):
        raise Refused("storages without numbers, or numbers without a storage")
    return value


def _archive(data: memoryview, known: Known, budget: Budget) -> Any:
    archive, storages = Archive(data), dict[str, Storage]()
    if "byteorder" in archive.members and archive.read("byteorder") != b"little":
        raise Refused("numbers in another order of bytes")
    if "constants.pkl" in archive.members:
        raise Refused("it is a program (TorchScript)")

    def stored(key: str, kind: str, count: int) -> Storage:
        if key not in storages:
            storages[key] = Storage(kind, count)
            storages[key].fill(archive.read(f"data/{key}"))
        if (storages[key].kind, storages[key].count) != (kind, count):
            raise Refused("a storage of two kinds or lengths")
        return storages[key]

    machine = Machine(archive.read("data.pkl"), 0, known, budget, _lookup(stored))
    value = machine.run()
    if machine.at != len(machine.data):
        raise Refused("there are bytes behind the end of its pickle")
    return value


def _lookup(stored: Callable[[str, str, int], Storage]) -> Callable[[Any], Any]:
    """What torch writes as a persistent id: a storage, or a class with its source, which is passed over."""

    def find(given: Any) -> Storage | Name:
        parts = list(given) if type(given) is tuple and len(given) in (4, 5, 6) else [None]
        if parts[0] == "module" and type(parts[1]) is Name:
            return parts[1]
        if parts[0] != "storage" or len(parts) == 4:
            raise Refused("something stored that is no storage")
        _, kind, key, _, count, *view = parts
        if type(kind) is not Name or kind.module != "torch" or kind.name not in STORAGES or type(key) is not str:
            raise Refused("a storage of another form than torch's")
        if view not in ([], [None]):
            raise Refused("a view of a storage, as torch wrote it before 0.4")
        return stored(key, STORAGES[kind.name], whole(count))

    return find
