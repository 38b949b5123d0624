"""Shared by all plots: colours that the colour-blind can tell apart, in light and dark, and PNG output."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Corner = Literal["upper left", "lower right", "lower center"]

_DOTS_PER_INCH = 150


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a plot. Fake and real are from Okabe and Ito's palette; they never differ only in colour."""

    paper: str
    ink: str
    faint: str
    fake: str
    real: str


LIGHT = Theme(paper="#ffffff", ink="#1d2329", faint="#d3d8de", fake="#d55e00", real="#0072b2")
DARK = Theme(paper="#1b2026", ink="#e4e8ec", faint="#3b444e", fake="#f0913f", real="#56b4e9")


def figure(theme: Theme, width: float, height: float) -> Figure:
    """Create an empty figure of `width` x `height` inches."""
    return Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")


def dress(axes: Axes, theme: Theme, *, title: str = "", x: str = "", y: str = "") -> None:
    """Set the title and the axis labels, in the theme's colours."""
    axes.set_facecolor(theme.paper)
    axes.set_title(title, color=theme.ink, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(x, color=theme.ink, fontsize=9)
    axes.set_ylabel(y, color=theme.ink, fontsize=9)
    axes.tick_params(colors=theme.ink, labelsize=8)
    axes.grid(color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_color(theme.faint)
        spine.set_visible(side in {"left", "bottom"})


def key(axes: Axes, theme: Theme, where: Corner) -> None:
    """Add the legend."""
    axes.legend(
        loc=where, fontsize=8, labelcolor=theme.ink, facecolor=theme.paper, edgecolor=theme.faint, framealpha=0.9
    )


def png(drawn: Figure) -> bytes:
    """Return `drawn` as PNG bytes."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor=drawn.get_facecolor())
    return buffer.getvalue()
