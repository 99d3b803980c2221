"""Pickles without Python's own reader: an interpreter of the opcodes that can call nothing but our stand-ins.

It knows protocols 2 to 5 (PEP 307, 3154, 574). Nothing is allocated that the bytes of the file don't pay for: lengths
are checked against what is left of it before they are used, and the number of steps is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from .pickled_names import Call, build, call, key, make, resolve
from .pickled_values import Budget, Name, Refused

LONGEST = 32  # bytes of a whole number
NAME = 1000  # bytes of a name in a GLOBAL


class Machine:
    """Reads one pickle of `data` that starts at `at`; afterwards `at` is where it ended.

    `stored` gives what stands for a persistent id; without it there can't be any.
    """

    def __init__(
        self, data: memoryview, at: int, known: dict[Name, Call], budget: Budget,
        stored: Callable[[Any], Any] | None = None,
    ) -> None:  # fmt: skip
        self.data, self.at, self.known, self.budget, self.stored = data, at, known, budget, stored
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # stacks under the marks
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value. Raises Refused for whatever is damaged, or not on the list."""
        data, budget, length = self.data, self.budget, len(self.data)
        if data[self.at : self.at + 1] != b"\x80":
            raise Refused("it doesn't start like a pickle of protocol 2 to 5")
        try:
            while self.at < length:
                budget.steps -= 1
                if budget.steps < 0:
                    budget.work(0)
                opcode = data[self.at]
                self.at += 1
                if opcode == STOP:
                    return self._result()
                operation = OPERATIONS.get(opcode)
                if operation is None:
                    raise Refused(f"its pickle has the opcode {opcode:#x}, which no file of weights has")
                operation(self)
        except IndexError:
            raise Refused("its pickle takes more than there is") from None
        except KeyError:
            raise Refused("its pickle refers to what isn't there") from None
        raise Refused("it ends in the middle of a pickle")

    def _result(self) -> Any:
        if self.below or len(self.stack) != 1:
            raise Refused("its pickle ends with things left over")
        return self.stack[0]

    def take(self, count: int) -> memoryview:
        """The next bytes, not copied."""
        end = self.at + count
        if end > len(self.data):
            raise Refused(f"it claims {count:,} bytes, {len(self.data) - self.at:,} are left")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Everything since the last mark."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def target(self, kind: type) -> Any:
        """The value on top, which is to grow."""
        found = self.stack[-1]
        if type(found) is not kind:
            raise Refused(f"something is put into what is no {kind.__name__}")
        return found

    def protocol(self) -> None:
        if not 2 <= self.number(1) <= 5:
            raise Refused("a pickle of another protocol than 2 to 5")

    def frame(self) -> None:
        if self.number(8) > len(self.data) - self.at:
            raise Refused("it claims more bytes than are left")

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def long(self) -> None:
        count = self.number(1)
        if count > LONGEST:
            raise Refused(f"a number of {count} bytes")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def text(self, digits: int, encoding: str = "utf-8") -> None:
        letters = self.take(self.number(digits))
        self.budget.read(len(letters))
        try:
            self.push(str(letters, encoding))
        except UnicodeDecodeError:
            raise Refused("text that is no UTF-8") from None

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self) -> None:
        value = self.stack.pop()
        self.target(list).append(value)

    def extend(self) -> None:
        values = self.marked()
        self.target(list).extend(values)

    def set_item(self) -> None:
        value, name = self.stack.pop(), self.stack.pop()
        self.target(dict)[key(name)] = value

    def set_items(self) -> None:
        values = self.marked()
        into = self.target(dict)
        if len(values) % 2:
            raise IndexError
        for name, value in zip(values[::2], values[1::2]):
            into[key(name)] = value

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def lookup(self) -> None:
        """GLOBAL: two lines."""
        lines = bytes(self.data[self.at : self.at + NAME]).split(b"\n", 2)
        if len(lines) < 3:
            raise Refused("a name without an end")
        self.at += len(lines[0]) + len(lines[1]) + 2
        try:
            self.push(resolve(lines[0].decode("utf-8"), lines[1].decode("utf-8"), self.known))
        except UnicodeDecodeError:
            raise Refused("a name that is no UTF-8") from None

    def lookup_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push(resolve(module, name, self.known))

    def reduce(self) -> None:
        given, name = self.stack.pop(), self.stack.pop()
        self.push(call(name, given, self.known))

    def new(self) -> None:
        given, name = self.stack.pop(), self.stack.pop()
        self.push(make(name, given))

    def new_with_names(self) -> None:
        named, given, name = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if named != {}:
            raise Refused("an object with arguments")
        self.push(make(name, given))

    def build(self) -> None:
        state = self.stack.pop()
        build(self.stack[-1], state, self.budget)

    def persistent(self) -> None:
        if self.stored is None:
            raise Refused("it refers to something outside of itself")
        self.push(self.stored(self.stack.pop()))


STOP = ord(".")
OPERATIONS: dict[int, Callable[[Machine], Any]] = {
    0x80: Machine.protocol,
    0x95: Machine.frame,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("J"): lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    0x8A: Machine.long,
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    0x8C: lambda m: m.text(1),
    ord("X"): lambda m: m.text(4),
    0x8D: lambda m: m.text(8),
    ord("U"): lambda m: m.text(1, "latin-1"),  # texts of Python 2
    ord("T"): lambda m: m.text(4, "latin-1"),
    ord("C"): lambda m: m.push(m.take(m.number(1))),
    ord("B"): lambda m: m.push(m.take(m.number(4))),
    0x8E: lambda m: m.push(m.take(m.number(8))),
    0x96: lambda m: m.push(m.take(m.number(8))),  # a bytearray
    ord("("): Machine.mark,
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("t"): lambda m: m.push(tuple(m.marked())),
    ord("]"): lambda m: m.push([]),
    ord("a"): Machine.append,
    ord("e"): Machine.extend,
    ord("}"): lambda m: m.push({}),
    ord("s"): Machine.set_item,
    ord("u"): Machine.set_items,
    0x8F: lambda m: m.push([]),  # a set, which comes as a list
    0x90: Machine.extend,
    0x91: lambda m: m.push(m.marked()),
    ord("q"): lambda m: m.remember(m.number(1)),
    ord("r"): lambda m: m.remember(m.number(4)),
    0x94: lambda m: m.remember(len(m.memo)),
    ord("h"): lambda m: m.push(m.memo[m.number(1)]),
    ord("j"): lambda m: m.push(m.memo[m.number(4)]),
    ord("c"): Machine.lookup,
    0x93: Machine.lookup_on_stack,
    ord("R"): Machine.reduce,
    0x81: Machine.new,
    0x92: Machine.new_with_names,
    ord("b"): Machine.build,
    ord("Q"): Machine.persistent,
}
"""What isn't here is refused: protocols 0 and 1, recursive tuples, the registry of extensions, buffers elsewhere."""
