"""docs/contract.md: people write its text, and a run of the report fills in the sections between its markers."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contract.report import Report

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


def section(service: str) -> str:
    """Return the page's section about a service. Raises ValueError if it has none."""
    return _between(service, PAGE.read_text())[1]


def write(report: Report) -> None:
    """Replace the service's section with the report."""
    before, _, after = _between(report.service, PAGE.read_text())
    PAGE.write_text(before + report.markdown() + after)


def _between(service: str, text: str) -> tuple[str, str, str]:
    found = re.fullmatch(rf"(.*<!-- {service} -->\n)(.*?)(<!-- end -->.*)", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE.name} has no place for {service}")
    return found[1], found[2], found[3]
