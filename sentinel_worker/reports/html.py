"""Self-contained HTML pages: they load nothing, and all text from files and users is escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sentinel_worker import __version__
from sentinel_worker.reports.drawing import DARK, LIGHT, Theme


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG in both colour schemes, as data URIs, with a description in words."""

    light: str
    dark: str
    words: str


def picture(draw: Callable[[Theme], bytes], words: str) -> Picture:
    """Draw in both colour schemes."""
    return Picture(data_uri(draw(LIGHT), "image/png"), data_uri(draw(DARK), "image/png"), words)


def data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def render(template: str, values: Mapping[str, Any]) -> str:
    """Render `templates/<template>`."""
    return _environment().get_template(template).render(values, worker_version=__version__)


def write(path: Path, page: str) -> None:
    """Write a page; a name that cannot be encoded in UTF-8 does not cost the report."""
    path.write_text(page, encoding="utf-8", errors="backslashreplace")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sentinel_worker.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"probability": _probability, "percent": _percent, "words": _words}
    return environment


def _probability(value: float | None) -> str:
    """Format with three digits, but never as 1 or 0, because no verdict is certain."""
    if value is None:
        return "none"
    shown = f"{value:.3f}"
    return {"1.000": "> 0.999", "0.000": "< 0.001"}.get(shown, shown)


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _words(value: object) -> str:
    """Turn a code into words: `not_applicable` becomes "not applicable"."""
    return str(value).replace("_", " ")
