"""Frames become files of as many frames, in even sizes, or nothing at all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mulligan.core.errors import UserError
from mulligan.media.video import check_video, save_video

COUNT = 7


def frames(size: tuple[int, int] = (33, 47), mode: str = "RGB") -> list[Image.Image]:
    """A square that grows, on black."""
    made = []
    for i in range(COUNT):
        picture = Image.new("L", size)
        picture.paste(200, (0, 0, 4 * i + 4, 4 * i + 4))
        made.append(picture.convert(mode))
    return made


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_video_has_every_frame_in_even_sizes(suffix: str, mode: str, tmp_path: Path):
    av = pytest.importorskip("av")
    path = save_video(iter(frames(mode=mode)), tmp_path / f"walk{suffix}", 10)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert (stream.width, stream.height) == (34, 48)
        assert float(stream.average_rate) == 10
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert len(shown) == COUNT
    for i, picture in enumerate(shown):
        assert abs(int(picture[: 4 * i + 4, : 4 * i + 4].mean()) - 200) < 12
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_pillow_writes_every_frame(suffix: str, tmp_path: Path):
    with Image.open(save_video(iter(frames()), tmp_path / f"walk{suffix}", 10)) as made:
        assert getattr(made, "n_frames", 1) == COUNT
        assert made.size == (33, 47)
        made.seek(COUNT - 1)
        assert abs(int(np.asarray(made.convert("L"))[:20, :20].mean()) - 200) < 12


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_frames_that_stop_half_way_leave_nothing(suffix: str, tmp_path: Path):
    if suffix == ".mp4":
        pytest.importorskip("av")

    def broken():
        yield from frames()[:3]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        save_video(broken(), tmp_path / f"walk{suffix}")
    with pytest.raises(ValueError, match="one size"):
        save_video([*frames(), Image.new("RGB", (8, 8))], tmp_path / f"walk{suffix}")
    with pytest.raises(ValueError, match="at least one frame"):
        save_video([], tmp_path / f"walk{suffix}")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"walk\.avi: a walk is written as \.gif, \.webp, \.mp4 or \.webm"):
        check_video(tmp_path / "walk.avi", 12)
    for fps, words in ((0, "at least 1"), (121, "at most 120")):
        with pytest.raises(UserError, match=words):
            check_video(tmp_path / "walk.gif", fps)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'mulligan\[video\]'"):
        check_video(tmp_path / "walk.mp4", 12)
