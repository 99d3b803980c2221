"""Which columns of anybody's table the doctor understands."""

from __future__ import annotations

import re
from itertools import product

from .bands import BANDS
from .history import PROBED

COUNTS = {
    "images": ("images", "image", "imgs", "img", "nimg", "samples", "samplesseen"),
    "kimg": ("kimg", "progresskimg"),
    "steps": ("steps", "step", "globalstep", "iterations", "iteration", "iters", "iter", "it", "batches", "batch",
              "rounds", "round"),
    "epochs": ("epochs", "epoch"),
}  # fmt: skip
"""What may count the lines, the finest measure first."""
QUANTITIES = {"loss": ("loss", "err", "error"), "grad": ("grad", "gradnorm", "gradientnorm", "gradient")}
PLAYERS = {"D": ("d", "disc", "discriminator", "critic"), "G": ("g", "gen", "generator")}
SIDES = {"real": ("real", "dreal"), "fake": ("fake", "dfake"), "D(x)": ("dx",), "D(G(z))": ("dgz", "dgz1")}
"""What D says of real and of generated samples."""
KINDS = {
    "logit": ("logits", "logit"), "probability": ("probability", "probabilities", "probs", "prob"),
    "": ("scores", "score", "output", "out", ""),
}  # fmt: skip
"""Words in the name of such a column that say what it holds; "" where that has to be found out."""
LOGITS = {"real": "real", "fake": "fake", "D(x)": "real", "D(G(z))": "fake"}
PROBABILITIES = {"real": "D(x)", "fake": "D(G(z))", "D(x)": "D(x)", "D(G(z))": "D(G(z))"}
UNSURE = {f"{side}?": side for side in SIDES}
"""What a column of D's verdicts means whose name doesn't tell logits from probabilities."""
SIGNALS = tuple(name for name in BANDS if name != "nonfinite")


def squeezed(name: str) -> str:
    """'Loss_D', 'loss d' and 'Loss/D' are the same."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _meanings() -> dict[str, str]:
    """What each squeezed name means: one of COUNTS, loss_D and the like, a verdict of D's, or a signal."""
    found = {name: count for count, names in COUNTS.items() for name in names}
    for (side, names), (kind, words) in product(SIDES.items(), KINDS.items()):
        sure = {"logit": LOGITS[side], "probability": PROBABILITIES[side], "": f"{side}?"}[kind]
        for name, word in product(names, words):
            found |= dict.fromkeys((name + word, word + name), sure)
    for (quantity, words), (player, names) in product(QUANTITIES.items(), PLAYERS.items()):
        for name, word in product(names, words):
            found |= dict.fromkeys((name + word, word + name), f"{quantity}_{player}")
    return found | {squeezed(name): name for name in (PROBED, *SIGNALS)}


MEANINGS = _meanings()
UNDERSTOOD = (
    "what counts the lines (images, kimg, step, iteration, round, epoch), loss_d, loss_g, grad_d, grad_g (also d_loss, "
    "errD, critic_loss, gen_loss and the like), real_logit and fake_logit, real_prob and fake_prob, D(x) and D(G(z)), "
    f"and the signals {', '.join(SIGNALS)}"
)


def meaning(name: str) -> str | None:
    """What a column means; None where its name isn't understood."""
    word = squeezed(name)
    return MEANINGS.get(word) or MEANINGS.get(word.removeprefix("train"))
