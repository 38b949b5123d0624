"""Fields of a table `[detectors.KEY]` and their valid values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sentinel_worker.detectors.registry import Task
from sentinel_worker.domain.media_facts import FaceSearch, ResizeMode
from sentinel_worker.domain.verdict import Aggregation

_Probability = Annotated[float, Field(gt=0, lt=1)]
_Files = Annotated[list[str], Field(min_length=1)]
_FACES = FaceSearch()


def _as_the_hub_names(repository: str) -> str:
    # The import takes a quarter of a second, and few files name a repository.
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not re-exported for mypy

    validate_repo_id(repository)  # raises a ValueError
    return repository


_Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[\w.-]+$"), AfterValidator(_as_the_hub_names)]


class FacesTable(BaseModel):
    """Options of the face search; `FaceSearch` describes each number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    samples: int = Field(_FACES.samples, ge=1, le=64)
    max_faces: int = Field(_FACES.max_faces, ge=1, le=8)
    margin: float = Field(_FACES.margin, ge=0, le=2)
    min_score: float = Field(_FACES.min_score, ge=0, le=1)
    min_pixels: int = Field(_FACES.min_pixels, ge=1, le=4096)


class Entry(BaseModel):
    """One table; omitted fields keep their built-in value or default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    title: str | None = None
    task: Task | None = None
    media_kind: Task | None = None
    repository: _Repository | None = None
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    folder: str | None = None
    weights_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    licence: str | None = None
    commercial_use: bool | None = None
    notice: str | None = None

    frames: int | None = Field(None, ge=1, le=1024)
    step_frames: int | None = Field(None, ge=1, le=1000)
    step_seconds: float | None = Field(None, gt=0, le=60)
    window_seconds: float | None = Field(None, ge=0.5, le=60)
    sample_rate: int | None = Field(None, ge=8000, le=48_000)
    budget: int | None = Field(None, ge=1, le=128)
    refine: int | None = Field(None, ge=0)
    resize_mode: ResizeMode | None = None
    faces: bool | FacesTable | None = None

    fake_indices: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    fake_indices_source: str | None = None
    known_fake: _Files | None = None
    known_real: _Files | None = None
    allow_remote_code: bool | None = None

    aggregation: Aggregation | None = None
    fake_windows: int | None = Field(None, ge=0)
    real_below: _Probability | None = None
    fake_from: _Probability | None = None
    temperature: float | None = Field(None, gt=0, allow_inf_nan=False)
    suspicious_score: _Probability | None = None
    calibration: str | None = None
