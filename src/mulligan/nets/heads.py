"""From features to logits: the discriminator around every body."""

from typing import Literal, Protocol, cast

from torch import Tensor, nn

from mulligan.core.errors import UserError
from mulligan.parts.conditioning import concat_labels, concat_shape, required
from mulligan.parts.layers import BatchNorm2d, MinibatchDiscrimination, MinibatchStdDev, pack

__all__ = ["Body", "Discriminator", "concat_shape"]

Conditioning = Literal["none", "concat", "projection", "auxiliary"]
Minibatch = Literal["discrimination", "stddev"]


class Body(Protocol):
    """A module (N, *shape) -> (N, width). head_std, where it has one, initialises the linear head."""

    width: int

    def __call__(self, x: Tensor) -> Tensor: ...


class Discriminator(nn.Module):
    """forward(x, y=None) -> logits (N,).

    conditioning: "none"; "concat", one-hot labels appended to x, so the body is built for concat_shape(shape, classes)
    (Mirza & Osindero 2014); "projection", logit + <embedding(y), features> (Miyato & Koyama 2018, eq. 3); "auxiliary",
    a classifier beside the logit, see classify (Odena et al. 2017). minibatch: a layer that sees the whole batch.
    packing: n samples are judged together (Lin et al. 2018): logits (N/n,), features (N/n, width), the body built for n
    times the channels; the projection is the mean over the pack, and classify names each of its samples.
    UserError for unknown names, for a conditioning without classes and for missing labels.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        classes: int = 0,
        conditioning: Conditioning = "none",
        minibatch: Minibatch | None = None,
        packing: int = 1,
    ) -> None:
        super().__init__()
        if conditioning not in ("none", "concat", "projection", "auxiliary"):
            raise UserError(f"unknown conditioning {conditioning!r}: none, concat, projection or auxiliary")
        if conditioning != "none" and classes < 1:
            raise UserError(f"the conditioning {conditioning!r} needs the number of classes, not {classes}")
        self.body = body
        self.width = width = cast(Body, body).width
        self.classes, self.conditioning, self.packing = classes, conditioning, packing
        self.minibatch, extra = _minibatch(minibatch, width)
        self.head = nn.Linear(width + extra, 1)
        if (std := getattr(body, "head_std", None)) is not None:
            nn.init.normal_(self.head.weight, 0, std)
            nn.init.zeros_(self.head.bias)
        self.embedding = nn.Embedding(classes, width) if conditioning == "projection" else None
        if self.embedding is not None:
            nn.init.xavier_uniform_(self.embedding.weight)
        self.classifier = nn.Linear(width, classes * packing) if conditioning == "auxiliary" else None
        self._coupling = [layer for layer in self.modules() if _couples(layer)]  # each turn asks for these

    @property
    def separable(self) -> bool:
        """Whether real and fake may share one pass `side_by_side`: now no logit depends on the other batch then."""
        return not any(layer.training or not getattr(layer, "track_running_stats", False) for layer in self._coupling)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The body's features (N, width), before any minibatch layer; labels are needed with "concat" only."""
        if self.conditioning == "concat":
            if len(getattr(self.body, "shape", x.shape[1:])) == 1:
                x = x.flatten(1)
            x = concat_labels(x, required(y, self.classes), self.classes)
        return self.body(pack(x, self.packing) if self.packing > 1 else x)

    def classify(self, features: Tensor) -> Tensor:
        """Class logits (N, classes) of the auxiliary classifier; UserError without one."""
        if self.classifier is None:
            raise UserError(f"a discriminator with conditioning {self.conditioning!r} has no classifier")
        return self.classifier(features).view(-1, self.classes)

    def logits_and_features(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(logits (N,), features (N, width)) from one pass."""
        features = self.features(x, y)
        seen = features if self.minibatch is None else self.minibatch(features)
        logits = self.head(seen).squeeze(1)
        if self.embedding is not None:
            named = self.embedding(required(y, self.classes))
            if self.packing > 1:
                named = named.view(-1, self.packing, self.width).mean(1)
            logits = logits + (named * features).sum(1)
        return logits, features

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.logits_and_features(x, y)[0]


def _couples(layer: nn.Module) -> bool:
    """Whether it lets samples of a batch see each other; a batch norm with running statistics only while training."""
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return not isinstance(layer, BatchNorm2d)
    return isinstance(layer, MinibatchDiscrimination)


def _minibatch(name: str | None, width: int) -> tuple[nn.Module | None, int]:
    match name:
        case None:
            return None, 0
        case "discrimination":
            layer = MinibatchDiscrimination(width)
            return layer, layer.kernels
        case "stddev":
            return MinibatchStdDev(), 1
    raise UserError(f"unknown minibatch layer {name!r}: discrimination, stddev or None")
