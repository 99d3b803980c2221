"""R3GAN's authors (Huang et al. 2024): our networks from the arguments and entries of theirs."""

from __future__ import annotations

import re

from mulligan.core.errors import UserError
from mulligan.nets.r3gan import Body, Discriminator, Generator, Stage

from .stylegan2 import Arguments, renamed

CHANNELS = 3
"""Of their pictures, which no argument names."""
LAYER = {"ExpansionFactor": "expansion", "ResamplingFilter": "taps"}
STAGES = ("WidthPerStage", "BlocksPerStage", "CardinalityPerStage")
KERNEL = re.compile(r"Model\.MainLayers\.\d+\.Layers\.\d+\.Resampler\.Kernel")
"""Entries that hold no weights but the filter, which follows from the arguments."""
PLACE = r"Model\.MainLayers\.(?P<stage>\d{1,6})\.Layers\.(?P<layer>\d{1,6})\."


def _split(theirs: Arguments) -> tuple[Arguments, list[Stage], tuple[int, int, int]]:
    """Other arguments, the stages in their order, and the shape of a picture.

    `FP16Stages` is about speed, and in float32 makes no difference.
    """
    given = {name: value for name, value in theirs.items() if name != "FP16Stages"}
    widths, blocks, groups = (given.pop(name) for name in STAGES)
    if not len(widths) == len(blocks) == len(groups):
        raise UserError(f"{', '.join(STAGES)} need one number for each stage")
    side = given.pop("img_resolution")
    return given, [Stage(*stage) for stage in zip(widths, blocks, groups, strict=True)], (CHANNELS, side, side)


def generator(theirs: Arguments) -> Generator:
    """From the arguments of their Generator."""
    given, stages, shape = _split(theirs)
    latent, labels, embed = given.pop("NoiseDimension"), given.pop("c_dim"), given.pop("ConditionEmbeddingDimension", 0)
    return Generator(latent, shape, stages, labels, embed, **renamed(given, LAYER))


def discriminator(theirs: Arguments) -> Discriminator:
    """From the arguments of their Discriminator."""
    given, stages, shape = _split(theirs)
    labels, embed = given.pop("c_dim"), given.pop("ConditionEmbeddingDimension", 0)
    return Discriminator(Body(shape, stages, **renamed(given, LAYER)), labels, embed)


def generator_key(key: str) -> str:
    """Our name of an entry of their generator; "" for a filter, and one that we don't know stays as it is.

    Its stages begin with the basis or a joint, and residual blocks follow.
    """
    ends = {"AggregationLayer.Layer.weight": "paint.weight", "EmbeddingLayer.weight": "embedding.weight"}
    firsts = {"Basis": "basis", "LinearLayer.weight": "linear.weight"}
    if KERNEL.fullmatch(key):
        return ""
    if not (match := re.fullmatch(PLACE + r"(?P<entry>.+)", key)):
        return ends.get(key.removeprefix("Model."), key)
    stage, layer, entry = int(match["stage"]), int(match["layer"]), match["entry"]
    if entry == "LinearLayer.Layer.weight":
        return f"joints.{stage - 1}.weight"
    return firsts.get(entry) or f"stages.{stage}.{layer - 1}.{_of_block(entry)}"


def discriminator_key(key: str) -> str:
    """The same for their discriminator, whose stages end with a joint or the basis."""
    ends = {"ExtractionLayer.Layer.weight": "body.extract.weight", "EmbeddingLayer.weight": "embedding.weight"}
    lasts = {"Basis.weight": "body.basis.weight", "LinearLayer.weight": "head.weight"}
    if KERNEL.fullmatch(key):
        return ""
    if not (match := re.fullmatch(PLACE + r"(?P<entry>.+)", key)):
        return ends.get(key.removeprefix("Model."), key)
    stage, layer, entry = match["stage"], match["layer"], match["entry"]
    if entry == "LinearLayer.Layer.weight":
        return f"body.joints.{stage}.weight"
    return lasts.get(entry) or f"body.stages.{stage}.{layer}.{_of_block(entry)}"


def _of_block(entry: str) -> str:
    """LinearLayer1.Layer.weight -> linear1.weight, NonLinearity1.Bias -> bias1."""
    return re.sub(r"LinearLayer(\d)\.Layer", r"linear\1", re.sub(r"NonLinearity(\d)\.Bias", r"bias\1", entry))
