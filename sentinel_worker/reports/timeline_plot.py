"""Timeline of a track: the probability of each window over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from sentinel_worker.reports.drawing import Theme, dress, figure, png

# Share of the whole track, so that a window of four seconds in three hours is still visible.
_THINNEST = 0.004
_HOUR, _MINUTE = 3600, 60


def timeline(windows: Sequence[Mapping[str, Any]], threshold: float, real_below: float | None, theme: Theme) -> bytes:
    """Draw a PNG of `windows`, in the format of a result's timeline; thresholds are P(fake)."""
    drawn = figure(theme, 8.4, 2.5)
    axes = drawn.subplots()
    end = max(0.001, *(window["end_seconds"] for window in windows))
    for window in windows:
        _bar(axes, window, end, threshold, theme)
    axes.axhline(threshold, color=theme.ink, linewidth=1.2, label=f"fake from {threshold:.2f}")
    if real_below is not None:
        axes.axhline(real_below, color=theme.ink, linewidth=1.2, linestyle=":", label=f"real below {real_below:.2f}")
    axes.set_xlim(0, end * (1 + _THINNEST))
    axes.set_ylim(0, 1.04)
    axes.xaxis.set_major_formatter(lambda seconds, _: clock(seconds))
    dress(axes, theme, x="Time from the start", y="P(fake)")
    _add_key(axes, windows, theme)
    return png(drawn)


def clock(seconds: float) -> str:
    """Format as `1:02:03`, `2:03` or `0:03.5`."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    hours, rest = divmod(whole, _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    text = f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
    return text if hours or not tenth else f"{text}.{tenth}"


def _bar(axes: Axes, window: Mapping[str, Any], end: float, threshold: float, theme: Theme) -> None:
    start, width = window["start_seconds"], max(window["end_seconds"] - window["start_seconds"], end * _THINNEST)
    probability = window.get("fake_probability")
    if probability is None:
        axes.bar(start, 1, width, align="edge", **_skipped(theme))
        return
    colour = theme.fake if probability >= threshold else theme.real
    # A window at 0 stays visible.
    axes.bar(start, max(probability, 0.012), width, align="edge", color=colour, edgecolor=theme.paper, linewidth=0.6)


def _skipped(theme: Theme) -> dict[str, Any]:
    return {"facecolor": theme.paper, "edgecolor": theme.ink, "hatch": "////", "linewidth": 0, "alpha": 0.45}


def _add_key(axes: Axes, windows: Sequence[Mapping[str, Any]], theme: Theme) -> None:
    skipped = sorted({str(window["skipped"]).replace("_", " ") for window in windows if window.get("skipped")})
    handles = axes.get_legend_handles_labels()[0]
    handles += [Patch(label=f"skipped: {reason}", **_skipped(theme)) for reason in skipped]
    drawn = axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, frameon=False, fontsize=8)
    for text in drawn.get_texts():
        text.set_color(theme.ink)
