"""Downloads: a file is whole and right at its place, or not there at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mulligan.core.errors import UserError
from mulligan.metrics import fetch as fetch_file
from mulligan.metrics.fetch import fetch

GOOD = bytes(range(256)) * 4000


class Site(BaseHTTPRequestHandler):
    """/good, /wrong, /short (less than promised), /long (endless, no length), /larger (says so); 404 for the rest."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        body = {"/good": GOOD, "/wrong": GOOD[::-1], "/short": GOOD[:-1], "/larger": GOOD + b"x", "/long": GOOD}
        if self.path not in body:
            return self.send_error(404, "Not Found")
        self.send_response(200)
        if self.path != "/long":
            promised = len(GOOD) if self.path == "/short" else len(body[self.path])
            self.send_header("Content-Length", str(promised))
        self.end_headers()
        try:
            self.wfile.write(body[self.path])
            while self.path == "/long":
                self.wfile.write(GOOD)
        except OSError:
            pass  # the other side has hung up, as it should
        return None

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def get(path: Path, *urls: str, size: int = len(GOOD)) -> Path:
    return fetch(urls, path, hashlib.sha256(GOOD).hexdigest(), size, progress=False)


def test_a_good_file_arrives_whole(site: str, tmp_path: Path):
    path = get(tmp_path / "new" / "file.pth", f"{site}/good")
    assert path.read_bytes() == GOOD
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("/wrong", "wrong content: SHA-256 "),
        ("/short", "ended after 1,023,999 of 1,024,000 bytes|IncompleteRead"),
        ("/larger", "offers 1,024,001 bytes instead of 1,024,000"),
        ("/long", "sends more than the expected 1,024,000 bytes"),
        ("/gone", "404"),
    ],
)
def test_a_bad_file_leaves_nothing_and_the_next_address_is_tried(page: str, reason: str, site: str, tmp_path: Path):
    path = tmp_path / "file.pth"
    path.write_bytes(b"what was there")
    with pytest.raises(UserError, match=reason) as refused:
        get(path, f"{site}{page}")
    for word in (f"{site}{page}", f"by hand to {path}", "--weights FILE"):
        assert word in str(refused.value)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.glob(".*")) == []
    assert get(path, f"{site}{page}", f"{site}/good").read_bytes() == GOOD


def test_every_address_that_failed_is_named(site: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"(?s)127.0.0.1:9/x: .*refused.*\n.*gone: .*404"):
        get(tmp_path / "file.pth", "http://127.0.0.1:9/x", f"{site}/gone")


def test_no_room_and_no_folder_are_told_before_anything_is_fetched(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UserError, match=r"has 1,000,000,000,000,000,000 bytes, but .* has only [\d,]+ free"):
        get(tmp_path / "file.pth", f"{site}/good", size=10**18)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="can't be written"):
        get(tmp_path / "taken" / "file.pth", f"{site}/good")
    monkeypatch.setattr(fetch_file.os, "replace", no_space)
    with pytest.raises(UserError, match="can't be written: No space left"):
        get(tmp_path / "file.pth", f"{site}/good")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["taken"]


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")
