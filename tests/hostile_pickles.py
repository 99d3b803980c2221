"""Hostile pickles, written opcode by opcode."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from .official_pickles import saved
from .test_hostile import Bomb, Evaluated, Nested

P, UTILS = b"\x80\x04", "torch._utils"


def text(words: str | bytes) -> bytes:
    letters = words.encode() if isinstance(words, str) else words
    return b"X" + struct.pack("<I", len(letters)) + letters


def bulk(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def many(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def called(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def stream(value: bytes, keys: bytes = b"]", numbers: bytes = b"") -> bytes:
    """What torch wrote before its archives, and writes for the storages of a pickle."""
    magic = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
    parts = (magic, b"M\xe9\x03", b"}" + text("little_endian") + b"\x88s", value, keys)
    return b"".join(b"\x80\x02" + part + b"." for part in parts) + numbers


def stored(count: int = 4, kind: str = "FloatStorage", key: str = "0", more: bytes = b"") -> bytes:
    """The persistent id of a storage."""
    name = b"ctorch\n" + kind.encode() + b"\n"
    return b"(" + text("storage") + name + text(key) + text("cpu") + number(count) + more + b"tQ"


ZERO = b"]" + text("0") + b"a"
FOUR = stream(stored(), ZERO, struct.pack("<Q4f", 4, 1, 2, 3, 4))


def tensor(offset: int, shape: bytes, strides: bytes, storage: bytes = FOUR) -> bytes:
    """A tensor in a storage of four numbers."""
    inner = called("torch.storage", "_load_from_bytes", bulk(storage))
    return called(UTILS, "_rebuild_tensor_v2", inner, number(offset), shape, strides, b"\x89", b"N")


def array(kind: str, shape: bytes, data: bytes, state: bytes = b"") -> bytes:
    dtype = called("numpy", "dtype", text(kind), b"\x89\x88") + state
    made = called("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), many(0), bulk(b"b"))
    return made + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def ordered(order: str, more: bytes) -> bytes:
    """The state of a dtype."""
    return b"(K\x03" + text(order) + more + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"


def archive(*members: tuple[str, bytes], packed: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name, data in members:
            made.writestr(name, data)
    return file.getvalue()


def whole(*more: tuple[str, bytes], value: bytes = b"\x80\x02}.") -> bytes:
    return archive(("a/data.pkl", value), *more)


def zipped_tensor(shape: int, size: int) -> bytes:
    value = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + stored(size) + b"K\x00" + many(shape) + many(1) + b"\x89NtR."
    )
    return whole(("a/data/0", bytes(16)), value=value)


def laughs(opening: bytes, closing: bytes) -> bytes:
    """Each value holds the one before ten times, sixty values deep."""
    deeper = b"".join(opening + (b"h" + bytes([i])) * 10 + closing + b"\x94" for i in range(60))
    return P + b"(" + text("ha") + b"\x94" + deeper + b"t."


def touching(flag: Path) -> bytes:
    return text(f"touch '{flag}'")


def on(module: str, name: str) -> Callable[[Path], bytes]:
    """A call of something with a command."""
    return lambda flag: P + called(module, name, touching(flag)) + b"."


def python(flag: Path) -> bytes:
    return text(f"open({str(flag)!r}, 'w')")


def persistent(**changes: bytes) -> bytes:
    meta = {"type": text("class"), "version": b"K\x06", "module_src": text("x"), "class_name": text("G"), "state": b"}"}
    items = b"".join(text(name) + value for name, value in (meta | changes).items())
    return P + called("torch_utils.persistence", "_reconstruct_persistent_obj", b"}(" + items + b"u") + b"."


Hostile = bytes | Callable[[Path], bytes]
RUN, KEY, SHAPE = "to be run: refused", "a key of a dictionary", "a size, a stride or a place that is no number"
MODULE = named("training.networks", "G") + b")\x81"
# name: the file, and a part of the answer
HOSTILE: dict[str, tuple[Hostile, str]] = {
    "os.system": (lambda flag: pickle.dumps(Bomb(flag)), "wants posix.system to be run: refused"),
    "os.system as it is called": (on("os", "system"), "wants os.system to be run: refused"),
    "os.system in protocol 0": (lambda flag: pickle.dumps(Bomb(flag), 0), "like a pickle of protocol 2 to 5"),
    "os.system in protocol 2": (lambda flag: pickle.dumps(Bomb(flag), 2), "wants posix.system to be run"),
    "eval": (lambda flag: pickle.dumps(Evaluated(flag)), "wants builtins.eval to be run"),
    "exec": (lambda flag: P + called("builtins", "exec", python(flag)) + b".", "wants builtins.exec to be run"),
    "getattr": (lambda flag: P + called("builtins", "getattr", named("os", "system"), text("x")) + b".", RUN),
    "getattr alone": (P + called("builtins", "getattr", text("x"), text("y")) + b".", "wants builtins.getattr to"),
    "import": (P + called("builtins", "__import__", text("os")) + b".", "wants builtins.__import__ to be run"),
    "the module pickle": (on("pickle", "loads"), "wants pickle.loads to be run"),
    "a loader of torch": (on("torch", "load"), "wants torch.load to be run"),
    "a hub": (on("torch.hub", "load"), "wants torch.hub.load to be run"),
    "inside of the bytes of a storage": (lambda flag: pickle.dumps(Nested(flag)), "a storage of another form"),
    "inside of an old storage": (
        lambda flag: P + tensor(0, many(4), many(1), stream(called("os", "system", touching(flag)))) + b".",
        "wants os.system to be run",
    ),
    "a storage inside of a storage": (
        P + tensor(0, many(4), many(1), stream(called("torch.storage", "_load_from_bytes", bulk(FOUR)))) + b".",
        "wants torch.storage._load_from_bytes to be run",
    ),
    "an old file": (lambda flag: saved({"x": Bomb(flag)}, False), "wants posix.system to be run"),
    "an archive": (lambda flag: saved({"x": [Evaluated(flag)]}, True), "wants __builtin__.eval to be run"),
    "dots in a name": (P + named("os", "system.__call__") + b".", "wants os.system.__call__ to be run"),
    "dots in an allowed name": (P + named("torch.nn.modules.linear", "Linear.__init__") + b".", RUN),
    "dots in GLOBAL": (P + b"ctorch.nn.functional\nos.system\n.", RUN),
    "a trailing module": (P + named("torch.nn.modules.linear\nos", "system") + b".", RUN),
    "another alphabet": (P + named("ｏs", "system") + b".", RUN),
    "letters for a terminal": (P + named("os\x1b[2J", "x\n") + b".", r"wants 'os\x1b[2J.x\n' to be run"),
    "a name that is a number": (P + text("os") + b"K\x01\x93.", "a name that is no text"),
    "a name from the memo": (P + text("os") + b"\x94" + text("system") + b"\x94h\x00h\x01\x93.", "wants os.system"),
    "a name without an end": (P + b"cos\nsystem", "a name without an end"),
    "a function of nothing": (P + text("os.system") + text("x") + b"\x85R.", "a call of something that is no function"),
    "a layer that is called": (P + called("torch.nn.modules.linear", "Linear", b"K\x01K\x01") + b".", RUN),
    "another count of arguments": (P + called("numpy", "dtype") + b".", "a call of numpy.dtype with 0 arguments"),
    "a new process": (P + named("subprocess", "Popen") + b")\x81.", "wants subprocess.Popen to be run"),
    "a new array": (P + named("numpy", "ndarray") + b")\x81.", "wants numpy.ndarray to be run"),
    "a new object with arguments": (P + named("training.x", "X") + b"K\x01\x85\x81.", "training.x.X with arguments"),
    "a new object with names": (P + named("training.x", "X") + b")}K\x01K\x02s\x92.", "an object with arguments"),
    "an instance of protocol 0": (lambda flag: P + b"(" + touching(flag) + b"ios\nsystem\n.", "the opcode 0x69"),
    "an object of protocol 1": (lambda flag: P + b"(cos\nsystem\n" + touching(flag) + b"o.", "wants os.system to be"),
    "extension 1": (P + b"\x82\x01.", "the opcode 0x82"),
    "extension 2": (P + b"\x83\x01\x00.", "the opcode 0x83"),
    "extension 4": (P + b"\x84\x01\x00\x00\x00.", "the opcode 0x84"),
    "a buffer elsewhere": (b"\x80\x05\x97.", "the opcode 0x97"),
    "a persistent id": (P + text("os.system") + b"Q.", "it refers to something outside of itself"),
    "a persistent id in letters": (P + b"Pos.system\n.", "the opcode 0x50"),
    "a stored something": (stream(text("x") + b"Q"), "that is no storage"),
    "a storage of objects": (stream(stored(4, "ObjectStorage")), "wants torch.ObjectStorage to be run"),
    "a state for a dictionary": (
        P + b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + named("os", "system") + b"sb.", "os.system to",
    ),
    "special names in a dictionary": (
        P + b"cdnnlib.util\nEasyDict\n)\x81}" + text("__setstate__") + text("x") + b"sb.", "wants __setstate__ to be",
    ),
    "special names in an object": (P + MODULE + b"}" + text("__class__") + text("x") + b"sb.", "wants __class__ to be"),
    "special names in a persistent object": (persistent(state=b"}" + text("__reduce__") + b"Ns"), "wants __reduce__"),
    "a state twice": (P + MODULE + b"}b}b.", "gets its state twice"),
    "a state of slots": (P + MODULE + b"N}\x86b.", "no dictionary of attributes"),
    "a state for a list": (P + b"]}b.", "a state for something that has none"),
    "a persistent function": (persistent(type=text("func")), "of another form than NVIDIA's"),
    "a persistent object without a name": (persistent(class_name=named("training", "x")), "another form than NVIDIA's"),
    "a persistent object without a state": (persistent(state=b"N"), "no dictionary of attributes"),
    "laughs in lists": (laughs(b"](", b"e"), "it unfolds to more than 1,000,000 values"),
    "laughs in tuples": (laughs(b"(", b"t"), "it unfolds to more than 1,000,000 values"),
    "laughs in keys": (laughs(b"(", b"t")[:-2] + b"}h\x3ch\x00s.", KEY),
    "laughs in the name of a dtype": (
        laughs(b"](", b"e")[:-2] + b"cnumpy\ndtype\nh\x3c\x85R.", "an array of something, not of numbers"
    ),
    "a very long name": (P + named("torch.nn." + "a" * 10**6, "b") + b".", "a name of more than 300 letters"),
    "laughs of long text": (
        P + b"(" + text("x" * 10**6) + b"\x94](" + b"h\x00" * 1000 + b"et.", "it unfolds to more than 1,000,000 values"
    ),
    "a list of itself": (P + b"]\x94h\x00a.", "it holds itself"),
    "a dictionary of itself": (P + b"}\x94K\x01h\x00s.", "it holds itself"),
    "a module of itself": (P + MODULE + b"\x94}" + text("_modules") + b"h\x00sb.", "it holds itself"),
    "a terabyte of text": (P + b"\x8d" + struct.pack("<Q", 2**40) + b"x.", "it claims 1,099,511,627,776 bytes"),
    "a terabyte of bytes": (P + b"\x8e" + struct.pack("<Q", 2**40) + b"x.", "it claims 1,099,511,627,776 bytes"),
    "a terabyte to be changed": (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.", "it claims 1,099,511,627,776"),
    "four gigabytes of text": (P + b"X\xff\xff\xff\xff.", "it claims 4,294,967,295 bytes"),
    "a frame of all there is": (P + b"\x95" + b"\xff" * 8 + b".", "it claims more bytes than are left"),
    "a long number": (P + b"\x8a\xff" + b"\x7f" * 255 + b".", "a number of 255 bytes"),
    "a very long number": (P + b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b".", "the opcode 0x8b"),
    "a number of less than no bytes": (P + b"\x8b" + struct.pack("<i", -1) + b".", "the opcode 0x8b"),
    "a memo of four billion": (P + b"Nr\xff\xff\xff\xff0.", "the opcode 0x30"),
    "a memo of nothing": (P + b"j\xff\xff\xff\xff.", "refers to what isn't there"),
    "deep lists": (P + b"]" * 100_000 + b"a" * 99_999 + b".", "it is nested more than 200 levels deep"),
    "deep tuples": (P + b")" + b"\x85" * 100_000 + b".", "it is nested more than 200 levels deep"),
    "very deep lists": (P + b"]" * 990_000 + b"a" * 989_999 + b".", "it holds more than 300,000 objects"),
    "marks": (P + b"(" * 1_900_000 + b".", "its pickle ends with things left over"),
    "many dictionaries": (P + b"](" + b"}\x94" * 950_000 + b"e.", "it holds more than 300,000 objects"),
    "many steps": (P + b"](" + b"N" * 3_000_000 + b"e.", "it takes more than 2,000,000 steps"),
    "much text": (P + b"](" + text("x" * 2**20) * 70 + b"e.", "it holds more than 67,108,864 bytes of text"),
    "copies of a text": (
        P + text("x" * 10**6) + b"\x94" + text("latin1") + b"\x94" + named("_codecs", "encode") + b"\x94]("
        + b"h\x02h\x00h\x01\x86R" * 10_000 + b"e.", "it makes much more of its bytes than there are",
    ),
    "copies of a dictionary": (
        P + b"]\x94(" + b"NN\x86" * 10_000 + b"e" + named("collections", "OrderedDict") + b"\x94("
        + b"h\x01h\x00\x85R" * 1000 + b"t.", "it takes more than 2,000,000 steps",
    ),
    "something in no list": (P + b"}K\x01a.", "something is put into what is no list"),
    "something in no dictionary": (P + b"]K\x01K\x02s.", "something is put into what is no dict"),
    "a key of a list": (P + b"}]Ns.", KEY),
    "a key of a big number": (P + b"}\x8a\x10" + b"\x7f" * 16 + b"Ns.", KEY),
    "nothing on the stack": (P + b"R.", "its pickle takes more than there is"),
    "nothing under a mark": (P + b"N(a.", "its pickle takes more than there is"),
    "no mark": (P + b"Nt.", "its pickle takes more than there is"),
    "no end": (P + b"NNN", "it ends in the middle of a pickle"),
    "two values": (P + b"NN.", "its pickle ends with things left over"),
    "two pickles": (P + b"N." + P + b"N.", "bytes behind the end of its pickle"),
    "no text": (P + text(b"\xff\xfe") + b".", "text that is no UTF-8"),
    "another protocol": (b"\x80\x09N.", "a pickle of another protocol"),
    "words": (b"these are no weights\n" * 9, "like a pickle of protocol 2 to 5"),
    "empty": (b"", "it is empty"),
    "an offset beyond the storage": (P + tensor(3, many(2), many(1)) + b".", "reaches to number 4 of a storage with 4"),
    "an offset of nothing": (P + tensor(5, many(0), many(1)) + b".", "of a storage with 4"),
    "strides beyond the storage": (P + tensor(0, many(2, 2), many(3, 1)) + b".", "reaches to number 4 of a storage"),
    "huge strides": (P + tensor(0, many(2, 2), many(2**40, 2**40)) + b".", "of a storage with 4"),
    "negative sizes": (P + tensor(0, many(-2, -2), many(1, 1)) + b".", SHAPE),
    "negative strides": (P + tensor(3, many(2), many(-1)) + b".", SHAPE),
    "a negative offset": (P + tensor(-1, many(2), many(1)) + b".", SHAPE),
    "a size beyond all": (P + tensor(0, many(2**62, 4), many(0, 0)) + b".", SHAPE),
    "sizes that overflow": (P + tensor(0, many(2**32, 2**32), many(0, 0)) + b".", SHAPE),
    "no numbers of a huge size": (P + tensor(0, many(0, 2**35, 2**35), many(0, 0, 0)) + b".", SHAPE),
    "a truth value as a size": (P + tensor(0, b"\x88\x85", many(1)) + b".", SHAPE),
    "many dimensions": (P + tensor(0, many(*[1] * 99), many(*[1] * 99)) + b".", "16 numbers at most"),
    "sizes without strides": (P + tensor(0, many(2, 2), many(1)) + b".", "another number of strides"),
    "one number a million times": (P + tensor(0, many(2**20), many(0)) + b".", "many more bytes of tensors than"),
    "a tensor of text": (P + called(UTILS, "_rebuild_tensor_v2", text("x"), b"NNNNN") + b".", "without a storage"),
    "a parameter of text": (P + called(UTILS, "_rebuild_parameter", text("x"), b"\x89N") + b".", "without a tensor"),
    "a sparse tensor": (P + called(UTILS, "_rebuild_sparse_tensor", b"N") + b".", "_rebuild_sparse_tensor to be"),
    "a state for a tensor": (P + tensor(0, many(4), many(1)) + b"}b.", "an array with a state of another form"),
    "a storage alone": (stream(stored(), ZERO, FOUR[-24:]), "a storage that is in no tensor"),
    "a storage that claims": (stream(stored(2**36)), "it claims 274,877,906,944 bytes"),
    "a storage of two lengths": (stream(stored(4) + stored(3) + b"\x86"), "two kinds or lengths"),
    "a storage without numbers": (stream(stored()), "storages without numbers"),
    "a storage twice": (stream(stored(), b"](" + text("0") * 2 + b"e", FOUR[-24:] * 2), "of another length than"),
    "numbers of another length": (stream(stored(), ZERO, struct.pack("<Q3f", 3, 1, 2, 3)), "of another length"),
    "numbers that are cut": (FOUR[:-1], "it claims 16 bytes, 15 are left"),
    "numbers too many": (FOUR + b"x", "numbers without a storage"),
    "unknown keys": (stream(b"N", b"](K\x01e", b""), "a list of storages that aren't its own"),
    "other truths": (
        stream(
            b"ctorch._utils\n_rebuild_tensor\n(" + stored(2, "BoolStorage") + b"K\x00" + many(2) + many(1) + b"tR",
            ZERO, struct.pack("<Q2B", 2, 1, 7),
        ), "truth values other than 0 and 1",
    ),
    "an array of objects": (P + array("O8", many(1), bulk(pickle.dumps(1))) + b".", "an array of O8, not of numbers"),
    "an array of texts": (P + array("U3", many(1), bulk(bytes(12))) + b".", "an array of U3, not of numbers"),
    "an array of structures": (
        P + array("f4", many(1), bulk(bytes(4)), ordered("|", b"N" + text("a") + b"\x85}")) + b".", "of structures"
    ),
    "an array of the other end": (
        P + array("f4", many(1), bulk(bytes(4)), ordered(">", b"NNN")) + b".", "in another order of bytes"
    ),
    "a huge array": (P + array("f4", many(2**20, 2**20), bulk(b"")) + b".", "are said to lie in 0 bytes"),
    "a huger array": (P + array("f4", many(2**40, 2**40), bulk(b"")) + b".", SHAPE),
    "an array of less than nothing": (P + array("f4", many(-1), bulk(bytes(4))) + b".", SHAPE),
    "an array of the wrong length": (P + array("f4", many(2), bulk(bytes(4))) + b".", "are said to lie in 4 bytes"),
    "an array of no bytes": (P + array("f4", many(1), b"]") + b".", "numbers that aren't bytes"),
    "an array of another class": (
        P + called("numpy.core.multiarray", "_reconstruct", named("training", "x"), b"NN") + b".", "than numpy.ndarray"
    ),
    "an array without a state": (
        P + called("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), b"NN") + b".", "without numbers"
    ),
    "an archive of other places": (whole(("../../evil", b"x")), "has a name that torch.save doesn't write"),
    "an archive of the root": (archive(("/data.pkl", b"x")), "has a name that torch.save doesn't write"),
    "an archive of drives": (archive(("a/c:\\x", b"x")), "has a name that torch.save doesn't write"),
    "an archive of doubles": (whole(("b/data.pkl", b"x")), "has a name that torch.save doesn't write"),
    "an archive that unpacks": (archive(("a/data.pkl", bytes(10**7)), packed=True), "packed or locked"),
    "an archive of nothing": (archive(("a/x", b"")), "it has no member data.pkl"),
    "an archive with a program": (whole(("a/constants.pkl", b"x")), "it is a program (TorchScript)"),
    "an archive of the other end": (whole(("a/byteorder", b"big")), "in another order of bytes"),
    "an archive without its end": (whole()[:-30], "it ends before its table of contents"),
    "an archive of another member": (whole().replace(b"\x80\x02}.", b"\x80\x02].", 1), "Bad CRC-32"),
    "an archive with a longer pickle": (whole(value=b"\x80\x02}.x"), "bytes behind the end of its pickle"),
    "an archive with a tensor beyond": (zipped_tensor(5, 4), "reaches to number 4 of a storage with 4"),
    "an archive with a storage beyond": (zipped_tensor(5, 5), "5 numbers (F32) are said to lie in 16 bytes"),
    "an archive that claims": (
        whole().replace(b"\x04\x00\x00\x00\x04\x00\x00\x00\x0a", b"\xff\xff\xff\x7f\xff\xff\xff\x7f\x0a"),
        "claims more than",
    ),
    "an archive that leads beyond": (whole()[:-22] + whole()[-22:-10] + b"\xf0" * 8 + b"\0\0", "claims more than"),
}  # fmt: skip
