"""The table of labels that lies beside pictures, and which of them it names."""

from pathlib import Path

from mulligan.core.errors import UserError
from mulligan.data.conditions import conditions
from mulligan.data.request import Request
from mulligan.data.scan import LABELS, Listing, shown
from mulligan.data.table import Table
from mulligan.media.decode import BadImage


def table_of(listing: Listing, request: Request) -> tuple[str, bytes | None]:
    """The title and the bytes of the table of labels: what was asked for, or what lies beside the pictures.
    Raises UserError where it can't be read."""
    if str(request.labels) == "none":
        return "", None
    if request.labels is None:
        try:
            return LABELS, listing.labels()
        except (OSError, BadImage) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{LABELS} in {listing.title} cannot be read: {reason}. Repair it, or leave it aside with "
                            "--labels none.") from error  # fmt: skip
    path = Path(request.labels).expanduser()
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise UserError(f"--labels {request.labels} cannot be read: {error.strerror or error}.") from error


def match(listing: Listing, table: Table) -> None:
    """Leave pictures without a row, and rows without a picture, to the bad ones; look at the rest of the table now,
    before the pictures are decoded. Raises UserError."""
    unreadable = {name for name, _ in listing.bad}
    there = set(listing.names)
    lone = [file for file in table.rows if file not in there and file not in unreadable]
    named = [name for name in listing.names if name in table.rows]
    if not named:
        first, known = next(iter(table.rows)), next(iter(listing.names), "none")
        raise UserError(
            f"No row of {table.title} names a picture of {listing.title}: {table.line(first)}, has {shown(first)}, and "
            f"a picture is {shown(known)}. Files are named by their path within the data."
        )
    listing.bad += [(name, f"no row in {table.title}") for name in listing.names if name not in table.rows]
    listing.bad += [(file, f"not there, and named by {table.line(file)}") for file in lone]
    listing.names = named
    conditions(table, named)
