"""Batches follow from the position alone, however many rows are fetched at a time; little of a file stays mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mulligan.core import stream as stream_module
from mulligan.core.stream import Stream, prepare
from mulligan.data import mapped, pack
from mulligan.data.source import Source


class Counted(Source):
    """Notes how many rows each gather asks for."""

    asked: list[int]

    def gather(self, indices):
        self.asked.append(len(indices))
        return super().gather(indices)


def counted(n: int = 300) -> Counted:
    pictures = torch.arange(n * 12).remainder(251).to(torch.uint8).view(n, 3, 2, 2)
    source = Counted("counted", {"x": pictures, "y": torch.arange(n)})
    source.asked = []
    return source


@pytest.mark.parametrize("ahead", [1, 700, stream_module.AHEAD])
@pytest.mark.parametrize(("shard", "shards"), [(0, 1), (0, 3), (2, 3)])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_are_the_rows_of_their_positions(monkeypatch, ahead, shard, shards, batch):
    monkeypatch.setattr(stream_module, "AHEAD", ahead)
    source = counted()
    stream, plain = Stream(source, batch, shard=shard, shards=shards), Stream(source, batch)
    for number in [*range(40), 3, 4, 1000, 1001, 2, 37, 38]:  # going on, and set to other places as a resume does
        stream.position = number * batch * shards
        found = next(stream)
        start = (number * shards + shard) * batch
        rows = plain.order(start, start + batch)
        assert torch.equal(found["y"], rows)
        assert torch.equal(found["x"], prepare(source.tensors["x"][rows], torch.device("cpu")))
        assert stream.position == (number + 1) * batch * shards


def test_a_position_between_two_draws_is_served_as_well():
    stream = Stream(counted(), 8)
    next(stream), next(stream)
    stream.position = 3
    assert torch.equal(next(stream)["y"], stream.order(3, 11))


def test_rows_are_fetched_many_at_a_time():
    source = counted()
    stream = Stream(source, 4)
    for _ in range(100):
        next(stream)
    assert source.asked == [4, stream_module.BLOCK]


def test_no_more_bytes_are_fetched_than_said(monkeypatch):
    monkeypatch.setattr(stream_module, "AHEAD", 1000)  # a row has 12 bytes, its label 8
    for shards, draws in ((1, 12), (4, 3), (40, 1)):
        source = counted()
        stream = Stream(source, 4, shards=shards)
        for _ in range(14):
            next(stream)
        assert source.asked[:2] == [4, 4 * draws], "all shards together keep to it"


def test_what_a_game_does_to_its_batch_stays_with_it():
    source = counted()
    stream = Stream(source, 8)
    for _ in range(2):
        stream.position = 0
        first, second = next(stream), next(stream)
        assert torch.equal(first["y"], stream.order(0, 8))
        assert torch.equal(second["y"], stream.order(8, 16))
        for values in first.values():
            values.fill_(-7)
    assert int(source.tensors["y"].min()) == 0


ROWS, SIDE = 8192, 64


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> mapped.Mapped:
    """32 MB of noise in a pack."""
    noise = np.random.default_rng(0)

    def build(writer: pack.PackWriter) -> pack.Contents:
        for _ in range(8):
            writer.add(noise.integers(0, 256, (ROWS // 8, 1, SIDE, SIDE), dtype=np.uint8))
        return pack.Contents(labels=np.arange(ROWS))

    source, _ = pack.packed("large", {}, tmp_path_factory.mktemp("cache"), build)
    assert isinstance(source, mapped.Mapped)
    return source


@pytest.mark.parametrize("rows", [torch.randperm(ROWS), torch.tensor([5, 5, 0, ROWS - 1, 5]), torch.arange(0)])
def test_rows_come_in_the_order_asked_for(large, rows):
    found = large.gather(rows)
    assert torch.equal(found["y"], rows)
    assert torch.equal(found["x"], large.tensors["x"][rows])
    with pytest.raises(IndexError):
        large.gather(torch.tensor([0, ROWS]))


def test_rows_of_an_odd_number_of_bytes(tmp_path):
    pictures = np.random.default_rng(1).integers(0, 256, (50, 1, 3, 5), dtype=np.uint8)
    source, _ = pack.packed("odd", {}, tmp_path, lambda writer: writer.add(pictures) or pack.Contents())
    rows = torch.randperm(50)
    assert torch.equal(source.gather(rows)["x"], torch.from_numpy(pictures)[rows])


def in_memory() -> float:
    """Megabytes of the pack that are mapped now."""
    lines, found, size = Path("/proc/self/smaps").read_text().splitlines(), False, 0
    for line in lines:
        if "-" in line.split()[0]:
            found = line.endswith("data.pack")
        elif found and line.startswith("Rss:"):
            size += int(line.split()[1])
    return size / 1024


def test_little_of_the_file_stays_in_memory(large, monkeypatch):
    if not Path("/proc/self/smaps").is_file():
        pytest.skip("what is mapped is read from /proc")
    seen, let_go = [], mapped.Mapped._let_go

    def noting(self: mapped.Mapped) -> None:
        seen.append(in_memory())
        let_go(self)

    monkeypatch.setattr(mapped.Mapped, "_let_go", noting)
    large._let_go()
    for count in (ROWS, 400, 20):
        large.gather(torch.randperm(ROWS)[:count])
        assert in_memory() == 0
    assert 1 < max(seen[1:]) < 3 * mapped.HELD / 2**20, "of 32 MB"
