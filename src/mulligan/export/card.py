"""The model card: what a generator is, as far as its run knows. What isn't known is said to be unknown."""

from __future__ import annotations

import json
from typing import Any

from mulligan.core.progress import duration
from mulligan.experiment import Experiment

from .facts import digest, latents, tensors
from .markdown import UNKNOWN, Facts, bullets, bullets_of, plain, safe


def card(
    run: Experiment, header: dict[str, Any], *, psi: float = 1.0, verdict: str = "", folder: bool = False,
    graph: bool = False,
) -> str:  # fmt: skip
    """Markdown with YAML before it.

    `verdict`: what `mulligan diagnose` says, where it was asked; `folder`: the card lies beside samples.png and
    model.safetensors, with `graph` beside model.onnx too. A licence is only told where imported weights have one.
    """
    name = header["recipe"].rpartition(":")[2]
    sections = [
        ("", introduction(run, header, folder)),
        ("Data", bullets(data(header))),
        ("Training", bullets(training(run, header, verdict))),
        ("Scores", scores(run)),
        ("Use", use(run, psi, graph)),
        ("Limitations", bullets_of(limitations(run, header))),
        ("Sources and licence", bullets(sources(header))),
    ]
    body = "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in sections)
    return f"{front(header, name)}\n# {safe(name)} trained on {safe(header['data']['name'])}\n\n{body}\n"


def front(header: dict[str, Any], name: str) -> str:
    """The YAML; strings are written as JSON, which is YAML."""
    licence = "other" if header.get("imported", {}).get("licence") else UNKNOWN
    tags = "".join(f"- {json.dumps(tag)}\n" for tag in ("gan", "mulligan", name))
    return f"---\nlibrary_name: mulligan\nlicense: {licence}\ntags:\n{tags}---\n"


def introduction(run: Experiment, header: dict[str, Any], folder: bool) -> str:
    summary, sampler, shape = run.recipe.summary, run.sampler, run.described.shape
    made = "×".join(map(str, shape)) + (" (channels, height, width)" if len(shape) == 3 else " numbers")
    facts: Facts = [
        ("recipe", plain(header["recipe"])),
        ("paper", safe(header.get("paper", ""))),
        ("parameters of the generator", f"{sum(p.numel() for p in sampler.parameters()):,}"),
        ("makes", made),
        ("latent", f"{getattr(sampler, 'latent', UNKNOWN)} numbers; {safe(latents(sampler))}"),
        ("labels", safe(", ".join(run.classes or run.columns)) or "none"),
        ("SHA-256 of the weights", plain(digest(tensors(run)))),
    ]  # fmt: skip
    sheet = "\n\n![Samples](samples.png)" if folder else ""
    about = f"A generator made with Mulligan, a GAN toolkit on PyTorch. {safe(summary)}".strip()
    return f"{about}{sheet}\n\n{bullets(facts)}"


def data(header: dict[str, Any]) -> Facts:
    told = header["data"]
    return [
        ("name", safe(told["name"])), ("samples", f"{told['count']:,}" if told["count"] else UNKNOWN),
        ("shape of one", "×".join(map(str, told["shape"]))), ("fingerprint", plain(told["fingerprint"])),
        ("licence of the data", UNKNOWN),
    ]  # fmt: skip


def training(run: Experiment, header: dict[str, Any], verdict: str) -> Facts:
    """What log, checkpoints and settings tell."""
    if "imported" in header:
        return [("trained", "elsewhere: the weights were imported, and nothing is known of their training")]
    log = run.rows()
    rows = [row for row in log if "event" not in row]
    last = rows[-1] if rows else {}
    images, rounds = (header.get(key, last.get(key)) for key in ("images", "round"))
    arguments = ", ".join(f"{key} {value}" for key, value in header["arguments"].items())
    return [
        ("real images seen", f"{images:,}" if images is not None else UNKNOWN),
        ("rounds", f"{rounds:,}" if rounds is not None else UNKNOWN),
        ("checkpoint", plain(header.get("checkpoint", "newest"))),
        ("time of the whole run", duration(seconds(rows)) if rows else UNKNOWN),
        ("seed", plain(header.get("seed", ""))), ("precision", plain(header.get("precision", ""))),
        ("device", safe(header.get("device", ""))),
        ("versions", safe(", ".join(f"{name} {version}" for name, version in header.get("versions", {}).items()))),
        ("doctor", safe(verdict or recorded(run, header))),
        *[("event", safe(row.get("text", row["event"]))) for row in log if "event" in row],
        ("arguments", plain(arguments)),
    ]  # fmt: skip


def seconds(rows: list[dict[str, Any]]) -> float:
    """Of all parts of a run: the count starts anew where it was resumed."""
    counts = [float(row.get("seconds", 0)) for row in rows]
    return sum(a for a, b in zip(counts, [*counts[1:], 0.0]) if b < a)


def recorded(run: Experiment, header: dict[str, Any]) -> str:
    """What the index of checkpoints notes of the newest one, or of the one that was asked for."""
    name, newest = header.get("checkpoint", "newest"), run.checkpoints.newest_first()
    name = newest[0].name if name == "newest" and newest else name
    healthy = run.checkpoints.index().get(name, {}).get("healthy")
    return UNKNOWN if healthy is None else f"{'' if healthy else 'not '}healthy at this checkpoint"


def scores(run: Experiment) -> str:
    """The newest value of each score under each of its protocols."""
    newest = {
        (row.get("name"), row.get("training", False), json.dumps(row.get("protocol"), sort_keys=True)): row
        for row in run.scores()
        if row.get("value") is not None
    }
    if not newest:
        return "None was measured."
    return bullets_of([score(row) for row in newest.values()])


def score(row: dict[str, Any]) -> str:
    protocol = row.get("protocol") or {}
    words = [
        f"{key} {value}"
        for key, value in protocol.items()
        if value not in ("", None, {}, []) and not isinstance(value, dict)
    ]
    error = "" if row.get("error") is None else f" ± {row['error']:.2g}"
    floor = "" if row.get("floor") is None else f"; real against real {row['floor']:.4g}"
    note = f"; {safe(row['note'])}" if row.get("note") else ""
    when = " (while training)" if row.get("training") else ""
    better = f", {safe(row['better'])} is better" if row.get("better") else ""
    return (
        f"**{safe(row.get('name'))} {row['value']:.4g}{error}**{when}{better}{floor}{note}. "
        f"Protocol: {safe(', '.join(words)) or UNKNOWN}"
    )  # fmt: skip


def use(run: Experiment, psi: float, graph: bool) -> str:
    labelled = bool(run.classes or run.columns)
    text = (
        "```python\nimport mulligan\n\nrun = mulligan.bring(\"model.safetensors\", \"my-run\")\n"
        "x = run.sample(16, seed=0)  # float32, on the CPU\n```\n\n"
        "```sh\nmulligan import model.safetensors --out my-run\nmulligan sample my-run -n 16\n```"
    )  # fmt: skip
    if not graph:
        return text
    latent, y = getattr(run.sampler, "latent", 0), ""
    if labelled:
        y = (
            ', "y": numpy.zeros(16, "int64")'
            if run.classes
            else f', "y": numpy.zeros((16, {len(run.columns)}), "float32")'
        )
    baked = f" Truncation with psi {psi:g} is in the graph: draw z as ever." if psi != 1 else ""
    draw = "uniform(-1, 1, " if getattr(run.sampler, "prior", "normal") == "uniform" else "standard_normal("
    size = f"({16}, {latent})" if draw.endswith("(") else f"size=({16}, {latent})"
    return (
        f"{text}\n\nWithout Mulligan, by ONNX Runtime.{baked}\n\n```python\nimport numpy\nimport onnxruntime\n\n"
        f"session = onnxruntime.InferenceSession(\"model.onnx\")\n"
        f"z = numpy.random.default_rng(0).{draw}{size}).astype(\"float32\")\n"
        f"(x,) = session.run(None, {{\"z\": z{y}}})\n```"
    )  # fmt: skip


def limitations(run: Experiment, header: dict[str, Any]) -> list[str]:
    found = [
        "It makes what its data show, in the shares that it has learned: what is rare there may be missing here, and "
        "biases of the data stay.",
        "Samples may be close to single pictures of the data; `mulligan evaluate --metrics memorisation` tells.",
        "Samples are generated. Say so where they are shown.",
    ]
    if not run.scores():
        found.append("Nobody has measured how good its samples are.")
    if ":" in header["recipe"]:
        found.append(
            f"The networks are built by a recipe file of its own, {plain(header['recipe'].rpartition(':')[0])} "
            f"(SHA-256 {plain(header.get('sha256', ''))}), which is needed to import the weights."
        )
    return found


def sources(header: dict[str, Any]) -> Facts:
    facts = header.get("imported")
    if not facts:
        return [
            ("weights", "trained with Mulligan as told above"),
            ("licence", f"{UNKNOWN}; whoever publishes them chooses one"),
        ]
    return [
        ("weights imported from", plain(facts.get("file", ""))),
        ("SHA-256 of that file", plain(facts.get("sha256", ""))),
        ("network", safe(facts.get("network", ""))), ("layout", safe(facts.get("from", ""))),
        ("source", safe(facts.get("source", ""))), ("licence", safe(facts.get("licence", ""))),
    ]  # fmt: skip
