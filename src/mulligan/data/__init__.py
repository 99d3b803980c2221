"""Data sources: open_source turns a folder, an archive, an array file or a name into a Source."""

from mulligan.data.opening import NAMES, open_source
from mulligan.data.source import Source

__all__ = ["NAMES", "Source", "open_source"]
