"""The calibration of a detector: a temperature and thresholds fitted on labelled files, kept as JSON."""

from __future__ import annotations

import datetime
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.machine_errors import raise_if_passing
from sentinel_worker.domain.verdict import VerdictRule

VERSION = 1

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_Positive = Annotated[float, Field(gt=0)]
_Threshold = Annotated[float, Field(gt=0, lt=1)]
_Count = Annotated[int, Field(ge=1)]
_Interval = tuple[_Positive, _Positive]


@dataclass(frozen=True, slots=True)
class FittedOn:
    """Size and date of a fit: files scored, their groups (sources) and classes, the day."""

    __pydantic_config__ = _STRICT

    files: _Count
    groups: _Count
    fakes: _Count
    reals: _Count
    date: datetime.date


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % bootstrap intervals over groups: (lower, upper), both inclusive."""

    __pydantic_config__ = _STRICT

    temperature: _Interval
    real_below: _Interval
    fake_from: _Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    """Mapping from one detector's log-odds to a probability and a verdict (see `VerdictRule`).

    `weights_sha256` identifies the weights that were measured; None if they were not hashed. The metrics are those
    of `evaluation.metrics`, before and after; after is measured on groups that the fit did not see.
    """

    __pydantic_config__ = _STRICT

    detector: Annotated[str, Field(min_length=1)]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    temperature: _Positive
    real_below: _Threshold
    fake_from: _Threshold
    fitted_on: FittedOn
    intervals: Intervals
    metrics_before: Mapping[str, float] = field(hash=False)
    metrics_after: Mapping[str, float] = field(hash=False)

    def __post_init__(self) -> None:
        if self.real_below > self.fake_from:
            raise ValueError("real_below is above fake_from")

    def apply(self, rule: VerdictRule) -> VerdictRule:
        """Return `rule` with this temperature and these thresholds."""
        return replace(rule, temperature=self.temperature, real_below=self.real_below, fake_from=self.fake_from)

    def write(self, path: Path) -> None:
        """Write to `path` atomically; raises OSError."""
        content = {"version": VERSION} | _ADAPTER.dump_python(self, mode="json")
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with partial.open("x", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


_ADAPTER: TypeAdapter[Calibration] = TypeAdapter(Calibration)


def read(path: Path) -> Calibration:
    """Read the calibration file `path`; raises Fatal('calibration_invalid'), which names every mistake."""
    content = _read_object(path)
    version = content.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise _invalid(path, f"its version is {json.dumps(version)}, but this worker reads version {VERSION}")
    try:
        return _ADAPTER.validate_json(json.dumps(content))
    except ValidationError as error:
        raise _invalid(path, "; ".join(_sentence(mistake) for mistake in error.errors())) from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise_if_passing(error)
        raise _invalid(path, f"it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _invalid(path, "it is not JSON") from error
    if not isinstance(content, dict):
        raise _invalid(path, "it is not a JSON object")
    return content


def _sentence(mistake: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in mistake["loc"])
    match mistake["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{where} is unknown"
        case "value_error":
            return str(mistake["ctx"]["error"])
    return f"{where}: {mistake['msg'][0].lower()}{mistake['msg'][1:]}"


def _invalid(path: Path, reason: str) -> Fatal:
    return Fatal("calibration_invalid", f"The calibration file {path.name} cannot be used: {reason}.")
