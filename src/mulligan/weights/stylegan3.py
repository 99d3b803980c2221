"""The generator of NVIDIA's StyleGAN3: ours from the arguments of theirs.

Entries of their state have the same names as ours. Their discriminator is that of weights/stylegan2.py.
"""

from __future__ import annotations

from mulligan.nets.stylegan3 import Generator, Synthesis

from .stylegan2 import Arguments, mapping, renamed

SYNTHESIS = {
    "channel_base": "base", "channel_max": "most", "num_layers": "layers", "num_critical": "critical",
    "first_cutoff": "cutoff", "first_stopband": "stopband", "last_stopband_rel": "beyond", "margin_size": "margin",
    "output_scale": "scale", "conv_kernel": "size", "filter_size": "taps", "lrelu_upsampling": "finer",
    "use_radial_filters": "radial", "conv_clamp": "clamp", "magnitude_ema_beta": "decay",
}  # fmt: skip
OUTER = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs"}


def generator(theirs: Arguments) -> Generator:
    """From the arguments of their Generator. KeyError for one that we don't know."""
    style, size = theirs["w_dim"], theirs["img_resolution"]
    inner = {name: value for name, value in theirs.items() if name not in OUTER}
    synthesis = Synthesis(style, (theirs["img_channels"], size, size), **renamed(inner, SYNTHESIS))
    inner = {"num_layers": 2, **theirs.get("mapping_kwargs", {})}
    return Generator(mapping(inner, theirs["z_dim"], theirs["c_dim"], style, 0.998), synthesis)
