"""The archives that torch.save writes: zip files whose members lie in them as they are, one after the other.

Read by hand: no bytes are copied, nothing is unpacked, and names lead nowhere.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from .pickled_values import Refused, shown

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
END64, LOCATOR = b"PK\x06\x06", b"PK\x06\x07"
COMMENT = 2**16  # bytes that may follow the end record
MOST = 100_000  # members
FULL = 0xFFFF_FFFF


class Archive:
    """The members of an archive without the folder that all of them lie in."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.members: dict[str, tuple[int, int, int]] = {}  # name: place of its header, size, checksum
        try:
            for name, *member in self._entries():
                folder, *parts = name.split("/")
                inside = "/".join(parts)
                if not parts or {folder, *parts} & {"", ".", ".."} or "\\" in name or inside in self.members:
                    raise Refused(f"its member {shown(name)} has a name that torch.save doesn't write")
                self.members[inside] = (member[0], member[1], member[2])
        except struct.error:
            raise Refused("its table of contents is cut") from None
        if sum(size for _, size, _ in self.members.values()) > len(data):
            raise Refused("its table of contents claims more than the file holds")

    def read(self, name: str) -> memoryview:
        """A member's bytes, whose checksum is right."""
        if name not in self.members:
            raise Refused(f"it has no member {shown(name)}")
        at, size, checksum = self.members[name]
        if self.data[at : at + 4] != LOCAL or at + 30 > len(self.data):
            raise Refused(f"its member {shown(name)} isn't where it should be")
        begin = at + 30 + sum(struct.unpack_from("<HH", self.data, at + 26))
        found = self.data[begin : begin + size]
        if len(found) != size:
            raise Refused(f"its member {shown(name)} is cut")
        if zlib.crc32(found) != checksum:
            raise Refused(f"Bad CRC-32 for its member {shown(name)}")
        return found

    def _entries(self) -> Iterator[tuple[str, int, int, int]]:
        at, end = self._table()
        while at < end:
            fields = struct.unpack_from("<4s4xHH4xIIIHHH8xI", self.data, at)
            mark, flags, method, checksum, stored, size, name, extra, comment, place = fields
            if mark != CENTRAL or len(self.members) >= MOST:
                raise Refused("its table of contents is damaged")
            letters = self.data[at + 46 : at + 46 + name]
            if FULL in (stored, size, place):
                stored, size, place = self._long(at + 46 + name, extra, stored, size, place)
            if flags & 1 or method or stored != size:
                raise Refused("its members are packed or locked, as torch.save doesn't do it")
            yield str(letters, "utf-8", "replace"), place, size, checksum
            at += 46 + name + extra + comment

    def _table(self) -> tuple[int, int]:
        """Where the table of contents begins and ends."""
        start = max(0, len(self.data) - COMMENT - 22)
        at = bytes(self.data[start:]).rfind(END)
        if at < 0:
            raise Refused("it ends before its table of contents")
        at += start
        size, place, comment = struct.unpack_from("<12xIIH", self.data, at)
        if at + 22 + comment != len(self.data):
            raise Refused("its last bytes are missing")
        if FULL in (size, place):
            mark, at = struct.unpack_from("<4s4xQ", self.data, max(0, at - 20))
            if mark != LOCATOR or at > len(self.data) or self.data[at : at + 4] != END64:
                raise Refused("its table of contents is damaged")
            size, place = struct.unpack_from("<40xQQ", self.data, at)
        if place + size > at:
            raise Refused("its table of contents claims more than the file holds")
        return place, place + size

    def _long(self, at: int, length: int, *fields: int) -> list[int]:
        """Size, stored size and place of a member beyond 4 GB: those that don't fit stand behind its name."""
        stored, size, place = fields
        end = at + length
        while at + 4 <= end:
            kind, count = struct.unpack_from("<HH", self.data, at)
            if kind == 1:
                wanted = [value == FULL for value in (size, stored, place)]
                found = iter(struct.unpack_from(f"<{sum(wanted)}Q", self.data, at + 4))
                size, stored, place = (
                    next(found) if long else value for long, value in zip(wanted, (size, stored, place))
                )
                return [stored, size, place]
            at += 4 + count
        raise Refused("its table of contents is damaged")
