"""Words that are safe in Markdown, whoever has written them."""

from __future__ import annotations

import re

UNKNOWN = "unknown"
Facts = list[tuple[str, str]]


def safe(text: object) -> str:
    """Text from data or a stranger's file for one line of Markdown: no letter of it is markup, HTML or a link."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return re.sub(r"([\\`*_{}\[\]<>()#|~!&@$])", r"\\\1", line).replace("://", "\\://")


def plain(value: object) -> str:
    """A value between backticks, for what users type."""
    line = "".join(c if c.isprintable() and c != "`" else " " for c in str(value))
    return f"`{line}`" if line.strip() else UNKNOWN


def bullets(facts: Facts) -> str:
    return bullets_of([f"{name}: {text or UNKNOWN}" for name, text in facts])


def bullets_of(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
