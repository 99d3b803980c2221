"""Points in the plane: scatter plots over the reference points, CSV files, GIFs."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from mulligan.media.image import save_gif, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 5_000  # more dots than this only hide each other
INCHES, DPI = 5.0, 120
HALO, DOT = 60.0, 2.5  # areas of a real and of a generated dot, in square points


class Points:
    """Points (N,d), drawn by their first two coordinates; reference: the real points, (N,d) or None."""

    name = "points"

    def __init__(self, reference: Tensor | None = None):
        self.reference = None if reference is None else _plane(reference)

    def sheet(self, x: Tensor, path: Path) -> Path:
        """A scatter plot of the points over the reference points, as PNG."""
        return save_png(self._drawing(_plane(x)), Path(path))

    def files(self, x: Tensor, folder: Path, start: int = 0) -> list[Path]:
        """All points in one CSV file without a header, one row each, named after the number of the first."""
        path = Path(folder) / f"{start:06d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (",".join(f"{value:.9g}" for value in row) for row in x.detach().float().cpu().tolist())
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return [path]

    def frames(self, x: Tensor, path: Path, fps: int = 12) -> Path:
        """A GIF with one scatter plot per time step of (T,N,d); (N,d) is a single step."""
        steps = x if x.dim() == 3 else x.unsqueeze(0)
        return save_gif([self._drawing(_plane(step)) for step in steps], Path(path), fps)

    def _drawing(self, points: Tensor) -> Image.Image:
        # Figure and canvas by hand: pyplot would keep every figure and choose a window system.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(INCHES, INCHES), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if self.reference is not None:
            # a wide pale halo: stays visible around a good fit, and alone where a mode is missed
            _dots(axes, self.reference, HALO, "0.82", f"data ({len(self.reference):,})")
        _dots(axes, points, DOT, "tab:red", f"generated ({len(points):,})")
        low, high = _window(points if self.reference is None else self.reference)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        axes.legend(loc="upper right", framealpha=0.9)
        canvas.draw()
        return Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")


def _plane(x: Tensor) -> Tensor:
    if x.dim() != 2 or x.shape[1] < 1:
        raise ValueError(f"points have the shape (N,d), not {tuple(x.shape)}")
    x = x.detach().float().cpu()
    return x[:, :2] if x.shape[1] > 1 else torch.cat([x, torch.zeros_like(x)], 1)


def _dots(axes: "Axes", points: Tensor, area: float, color: str, label: str) -> None:
    shown = points[:: max(1, len(points) // SHOWN)][:SHOWN]
    axes.scatter(shown[:, 0].numpy(), shown[:, 1].numpy(), s=area, c=color, linewidths=0, label=label)


def _window(points: Tensor) -> tuple[list[float], list[float]]:
    """Lower and upper corner around the points with a margin; the reference fixes it, so frames do not jump."""
    finite = points[points.isfinite().all(1)]
    if len(finite) == 0:
        return [-1.0, -1.0], [1.0, 1.0]
    low, high = finite.amin(0), finite.amax(0)
    margin = 0.15 * (high - low).amax().clamp_min(1e-3)
    return (low - margin).tolist(), (high + margin).tolist()
