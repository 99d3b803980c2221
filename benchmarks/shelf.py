"""The recipes of the big image GANs on real sets, long enough that a person sees what they make.

Each trains on one core of a CPU with small networks: MNIST at 28 pixels, and Noto's emoji at 32 with alpha. The last
sheet of each goes to docs/shelf/, and a table to docs/shelf.md. `--only stylegan2` trains some; the others stay.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mulligan

from .common import ROOT, SHARED, finish, parser, rewrite, stop

PAGE, SHEETS = ROOT / "docs" / "shelf.md", ROOT / "docs" / "shelf"
MARK = "<!-- table -->"
EMOJI = SHARED / "data" / "noto_emoji72" / "noto_emoji72.zip"
STYLES = [
    "--net.latent", "64", "--net.style", "64", "--net.base", "512", "--net.most", "48", "--stabilize.r1", "1",
]  # fmt: skip
"""With the gamma of --stabilize.r1 auto, a hundredth of this one for such networks, D overpowered G on MNIST."""
SETS = {
    "mnist": ["--data", "mnist", "--data-root", str(SHARED / "data")],
    "digits": ["--data", "digits", "--size", "16"],
    "faces": ["--data", "FACES", "--size", "32", "--channels", "4"],
}
FACES = ((0x1F600, 0x1F64F), (0x1F910, 0x1F92F), (0x1F970, 0x1F97A))
"""Blocks of Unicode that hold faces."""
ADA = ["--stabilize.ada", "0.6"]


@dataclass(frozen=True)
class Case:
    """A recipe on a set with arguments of its own; `minutes` on one quiet core is what its budget was chosen for."""

    recipe: str
    data: str
    images: int
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.recipe}-{self.data}"

    def command(self, out: Path, faces: Path = Path("FACES")) -> list[str]:
        size = ["--batch", "16", "--images", str(self.images), *self.arguments]
        data = [str(faces) if word == "FACES" else word for word in SETS[self.data]]
        return ["train", self.recipe, *data, *size, "--out", str(out)]


def case(recipe: str, data: str, images: int, *arguments: str) -> Case:
    return Case(recipe, data, images, arguments)


CASES = (
    case("stylegan2", "mnist", 60_000, *STYLES),
    case("biggan", "mnist", 40_000, "--net.width", "8", "--lr", "4e-4"),
    case("stylegan2", "faces", 60_000, *STYLES, *ADA),
    case("r3gan", "mnist", 100_000, "--width", "32", "--lr", "1e-3"),
    case("progressive", "mnist", 60_000, "--latent", "64", "--growth.most", "48", "--growth.base", "512"),
    case("stylegan", "mnist", 120_000, *STYLES[:-2], "--lr", "3e-3"),  # its own gamma, 10: with 1, D overpowered G
    case("fastgan", "mnist", 40_000, "--net.width", "8", "--net.most", "64", "--lr", "5e-4"),
    case("stylegan3", "digits", 30_000, *STYLES, "--net.depth", "6"),
    case("sagan", "mnist", 40_000, "--width", "8", "--lr", "4e-4"),
    case("fastgan", "faces", 20_000, "--net.width", "16", "--net.most", "64", "--lr", "5e-4"),
)


def train(case: Case, folder: Path) -> dict[str, Any]:
    """One case in a process of its own; what the table says of it."""
    out = folder / case.name
    log = (folder / f"{case.name}.txt").open("w", encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "mulligan", *case.command(out, folder / "faces")],
        stdout=log,
        stderr=log,
        env=environment,
        check=False,
    )
    if done.returncode:
        stop(f"{case.name} ended with {done.returncode}: {(folder / f'{case.name}.txt').read_text()[-500:]}")
    run = mulligan.load(out, "cpu")
    SHEETS.mkdir(exist_ok=True)
    run.media.sheet(run.sample(64, seed=1), SHEETS / f"{case.name}.png")
    rows = [row for row in run.rows() if "seconds" in row]
    said = subprocess.run(
        [sys.executable, "-m", "mulligan", "diagnose", str(out)], capture_output=True, text=True, env=environment,
        check=False,
    ).stdout  # fmt: skip
    word = verdict(said)
    print(f"{case.name}: {rows[-1]['seconds'] / 60:.0f} min; {word}", flush=True)
    return {
        "images": rows[-1]["images"], "minutes": round(rows[-1]["seconds"] / 60, 1),
        "doctor": word, "command": "mulligan " + " ".join(map(shown, case.command(Path("OUT")))),
    }  # fmt: skip


def verdict(said: str) -> str:
    """The first words of the doctor, which may go over lines."""
    first, *rest = said.splitlines() or [""]
    more = itertools.takewhile(lambda line: line.startswith(" "), rest)
    return " ".join(" ".join([first.removeprefix("verdict"), *more]).split())


def faces(folder: Path) -> None:
    """The faces among the emoji as a folder of their own."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(EMOJI) as archive:
        for name in archive.namelist():
            code = re.fullmatch(r"emoji_u([0-9a-f]{4,5})\.png", name)
            if code and any(first <= int(code[1], 16) <= last for first, last in FACES):
                (folder / name).write_bytes(archive.read(name))


def shown(word: str) -> str:
    return word.replace(str(SHARED), "../shared")


def table(facts: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, row in sorted(facts.items()):
        minutes = f"{row['images']:,} images, {row['minutes']:g} minutes"
        lines += [f"## {name}", "", f"`{row['command']}`", "", f"{minutes}. {row['doctor']}", "",
                  f"![64 samples of {name}](shelf/{name}.png)", ""]  # fmt: skip
    return "\n".join(lines)


def main(cases: Sequence[Case] = CASES) -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="*", default=[], help="names such as stylegan2-mnist, or their beginnings")
    options.add_argument("--at-once", type=int, default=2)
    options.add_argument("--keep", type=Path, help="a folder for the runs; one that is there goes on")
    given = options.parse_args()
    chosen = [c for c in cases if not given.only or any(c.name.startswith(word) for word in given.only)]
    if not (SHARED / "data").is_dir():
        stop(f"there is no {SHARED / 'data'}: the sets lie beside the checkout")
    folder = given.keep or Path(tempfile.mkdtemp(prefix="mulligan-shelf-"))
    folder.mkdir(parents=True, exist_ok=True)
    faces(folder / "faces")
    notes = SHEETS / "facts.json"
    facts = json.loads(notes.read_text()) if notes.is_file() else {}
    with ThreadPoolExecutor(given.at_once) as pool:
        for c, row in zip(chosen, pool.map(lambda c: train(c, folder), chosen), strict=True):
            facts[c.name] = row
            notes.write_text(json.dumps(facts, indent=1) + "\n")
            rewrite(PAGE, MARK, table(facts))
    if not given.keep:
        shutil.rmtree(folder)
    finish("shelf", True, cases=[c.name for c in chosen])


if __name__ == "__main__":
    main()
