"""A folder or zip of pictures -> a packed source: survey the headers, decode once, leave out and report the bad."""

import hashlib
import os
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from mulligan.core.errors import UserError
from mulligan.data.beside import match, table_of
from mulligan.data.conditions import Conditions, conditions
from mulligan.data.convert import to_row
from mulligan.data.pack import Contents, PackWriter, packed
from mulligan.data.request import Request
from mulligan.data.scan import FolderListing, Listing, shown
from mulligan.data.source import Source
from mulligan.data.table import Table, read_table
from mulligan.data.zips import ZipListing
from mulligan.media.decode import BadImage, Header, decode, fit, probe

KEPT_SIDE = 256  # up to here a common size is kept
DEFAULT_SIZE = (64, 64)
NAMED_IN_ERRORS = 5
PATIENCE = 1_000  # bad files beyond the allowed share after which looking for more stops

T = TypeVar("T")
R = TypeVar("R")


def folder_source(path: Path, request: Request) -> Source:
    """The pictures of a folder and its subfolders. Raises UserError."""
    return _listed(path.resolve().name, FolderListing(path), request)


def zip_source(path: Path, request: Request) -> Source:
    """The pictures of a zip archive. Raises UserError."""
    with closing(ZipListing(path)) as listing:
        return _listed(path.stem, listing, request)


def _listed(name: str, listing: Listing, request: Request) -> Source:
    if not listing.names and not listing.bad:
        raise UserError(_nothing(listing))
    key = {"kind": "pictures", "stamp": listing.stamp, "size": request.size, "channels": request.channels}
    key |= {"as_is": True} if request.as_is and request.size is None else {}
    title, data = table_of(listing, request)
    key |= {"labels": [title, hashlib.sha256(data).hexdigest()]} if data is not None else {}

    def build(writer: PackWriter) -> Contents:
        return _build(listing, request, writer, None if data is None else read_table(data, title))

    source, contents = packed(name or "pictures", key, request.cache, build)
    if contents.bad > request.max_bad * contents.total:  # packed earlier under a laxer limit
        raise UserError(f"{contents.bad} of {contents.total} pictures in {listing.title} cannot be used "
                        f"({_percent(contents.bad, contents.total)}), more than --max-bad {request.max_bad:g} allows. "
                        + " ".join(source.notes))  # fmt: skip
    return source


def _nothing(listing: Listing) -> str:
    if not listing.ignored:
        return f"{listing.title} is empty. Put pictures into it, or correct --data."
    return (
        f"There is no picture in {listing.title}, only other files ({_counts(listing.ignored)}). "
        "Pictures are recognised by extensions such as .jpg, .png, .webp, .gif, .bmp, .tif, .ppm."
    )


@dataclass
class _Survey:
    """What the headers say together."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    coloured: bool = False
    alpha: int = 0
    animated: list[str] = field(default_factory=list)

    def add(self, name: str, header: Header) -> None:
        if len(self.sizes) < 1000:
            self.sizes[header.size] += 1
        self.coloured |= not header.grey
        self.alpha += header.alpha
        if header.animated:
            self.animated.append(name)


@dataclass
class _Work:
    """The two passes over one listing."""

    listing: Listing
    workers: int = field(default_factory=lambda: min(8, _processors()))

    def survey(self, hopeless: float, progress: bool) -> _Survey:
        survey, unreadable = _Survey(), 0
        for name, header in self._each(self._header, "reading headers", progress):
            if isinstance(header, Header):
                survey.add(name, header)
            elif (unreadable := unreadable + 1) > hopeless:
                break
        return survey

    def rows(self, size: tuple[int, int], channels: int, progress: bool) -> Iterator[tuple[str, np.ndarray | BadImage]]:
        def row(name: str) -> np.ndarray | BadImage:
            try:
                with self.listing.open(name) as file:
                    return to_row(fit(decode(file, channels=channels, at_least=size), size))
            except BadImage as error:
                return error
            except OSError as error:
                return BadImage(f"cannot be read: {error.strerror or error}")

        return self._each(row, "packing", progress)

    def _header(self, name: str) -> Header | None:
        try:
            with self.listing.open(name) as file:
                return probe(file)
        except (BadImage, OSError):
            return None  # the second pass states the reason

    def _each(self, work: Callable[[str], R], title: str, progress: bool) -> Iterator[tuple[str, R]]:
        from tqdm import tqdm

        names = self.listing.names
        # disable=None: no bar where stderr is a file
        with tqdm(total=len(names), desc=title, unit=" pictures", file=sys.stderr, disable=None if progress else True,
                  leave=False) as bar:  # fmt: skip
            for name, result in zip(names, _ordered(work, names, self.workers), strict=True):
                bar.update()
                yield name, result


def _ordered(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """map() on threads, in order, with few results waiting: decoders release the lock, memory stays bounded."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _build(listing: Listing, request: Request, writer: PackWriter, table: Table | None) -> Contents:
    names = listing.names
    if table is not None:
        match(listing, table)
    with _quiet_pillow():
        work = _Work(listing)
        # the answer is clear by then, and a million broken files need not all be opened
        hopeless = request.max_bad * (len(listing.names) + len(listing.bad)) + PATIENCE
        survey = work.survey(hopeless, request.progress)
        size, size_notes = _size(survey, request)
        channels, channel_notes = _channels(survey, request)
        writer.reserve(len(listing.names) * channels * size[0] * size[1])
        good, bad = [], list(listing.bad)
        for name, row in work.rows(size, channels, request.progress):
            if isinstance(row, np.ndarray):
                writer.add(row[None])
                good.append(name)
                continue
            bad.append((name, str(row)))
            if len(bad) > hopeless:
                break
    total = len(listing.names) + len(listing.bad)
    notes = [*size_notes, *channel_notes, *_remarks(listing, survey)]
    if bad:
        notes.append(_verdict(bad, total, listing, request, writer.folder))
    classes, labels = class_labels(names, good)
    told = Conditions(np.empty(0), classes) if table is None else conditions(table, good)
    labels = labels if table is None else told.values
    if told.note:
        notes.append(told.note + (" The subfolders name no classes then." if classes else ""))
    return Contents(labels, told.classes, tuple(notes), len(bad), total, told.columns, told.scaling)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow warns about files that we judge ourselves. In the main thread: filters are shared by all threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        yield


def _size(survey: _Survey, request: Request) -> tuple[tuple[int, int], list[str]]:
    if request.size is not None:
        return request.size, []
    if not survey.sizes:
        return DEFAULT_SIZE, []
    (common, _), *others = survey.sizes.most_common(4)
    if not others and (request.as_is or max(common) <= KEPT_SIDE):
        return common, []
    found = ", ".join(f"{w}x{h}" for h, w in (common, *(size for size, _ in others)))
    if request.as_is:
        raise UserError(
            f"The pictures are of different sizes ({_sizes(survey)}), and a score depends on how they are "
            "resized. Give --size, to which all are cropped and resized, or bring them to one size first."
        )
    what = f"of different sizes ({found}, ...)" if others else f"{found} pixels"
    return DEFAULT_SIZE, [f"The pictures are {what}; they are cropped and resized to 64x64. Change that with --size."]


def _sizes(survey: _Survey) -> str:
    return ", ".join(f"{n:,} of {w}x{h}" for (h, w), n in survey.sizes.most_common(4))


def _channels(survey: _Survey, request: Request) -> tuple[int, list[str]]:
    channels = request.channels or (3 if survey.coloured else 1)
    if channels == 4 or not survey.alpha:
        return channels, []
    return channels, [
        f"{_pictures(survey.alpha)} transparent in places and laid on white; --channels 4 keeps the transparency."
    ]


def _remarks(listing: Listing, survey: _Survey) -> list[str]:
    notes = []
    if survey.animated:
        first = shown(survey.animated[0])
        notes.append(f"{_pictures(len(survey.animated))} animated ({first}, ...): the first frame is used.")
    if listing.ignored:
        count = sum(listing.ignored.values())
        notes.append(f"{count:,} other file{'s' * (count != 1)} ignored ({_counts(listing.ignored)}).")
    return notes


def _verdict(bad: list[tuple[str, str]], total: int, listing: Listing, request: Request, folder: Path) -> str:
    """Write the report; the note about it, or UserError where too many are bad."""
    report = folder / "report.txt"
    share = _percent(len(bad), total)
    stopped = len(bad) > request.max_bad * total + PATIENCE
    least = "At least " if stopped else ""
    head = f"{least}{len(bad):,} of {total:,} pictures in {shown(listing.title)} cannot be used ({share}):\n"
    lines = [f"{shown(name)}: {shown(reason)}" for name, reason in bad]
    report.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    if len(bad) <= request.max_bad * total and len(bad) < total:
        return f"{len(bad):,} of {total:,} pictures left out ({share}); the reasons are in {report}"
    first = "\n".join(f"  {line}" for line in lines[:NAMED_IN_ERRORS])
    more = f"\n  ... and {len(bad) - NAMED_IN_ERRORS:,} more" if len(bad) > NAMED_IN_ERRORS else ""
    if len(bad) == total:
        advice = "Nothing is left to train on: check that --data names the right place."
    else:
        allow = "" if stopped else f", or allow more with --max-bad {_enough(len(bad), total)}"
        advice = f"At most {100 * request.max_bad:.3g} % may be left out. Repair or remove these files{allow}."
    raise UserError(f"{head}{first}{more}\nThe list is in {report}. {advice}")


def class_labels(names: list[str], good: list[str]) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Classes from first-level subfolders, where every picture lies in one and there are two or more."""
    classes = sorted({name.split("/", 1)[0] for name in names})
    if len(classes) < 2 or not all("/" in name for name in names):
        return (), None
    index = {label: i for i, label in enumerate(classes)}
    return tuple(map(shown, classes)), np.array([index[name.split("/", 1)[0]] for name in good], dtype=np.int64)


def _enough(bad: int, total: int) -> str:
    """The smallest share with two significant digits that lets `bad` of `total` pass."""
    digits = 2
    while float(text := f"{bad / total + 0.5 * 10**-digits:.{digits}f}") * total < bad or float(text) > 1:
        digits += 1
    return text


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %" if part < whole else "100 %"


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count:,} pictures are"


def _counts(ignored: Counter[str]) -> str:
    return ", ".join(f"{count:,} {shown(kind)}" for kind, count in ignored.most_common(5))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
