"""What goes into a page that is one file: pictures as text, words made safe."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

from PIL import Image


def data_uri(image: Image.Image | Path) -> str:
    """A picture, or a PNG file as it lies, as an address that carries it whole. Raises OSError."""
    if isinstance(image, Path):
        content = image.read_bytes()
    else:
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def escaped(text: object) -> str:
    """Words as HTML shows them, also inside quoted attributes."""
    return html.escape(str(text), quote=True)


def write_page(text: str, path: Path) -> Path:
    """Write a page so that the path never holds a half-written one; makes the folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
