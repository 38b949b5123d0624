"""The worker distrusts a child's messages about its file: the child has read media, and may be hijacked."""

import re
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker import media
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.media.child_client import _told
from sentinel_worker.media.protocol import VERDICTS_ON_MEDIA, read_error, read_error_of_media
from sentinel_worker.worker.error_outcomes import NOT_ITS_FAULT


def test_params_are_a_few_short_plain_values() -> None:
    nested: Any = {}
    for _ in range(600):
        nested = {"deeper": nested}
    params = {"limit": 5, "found": "x" * 10_000, "nested": nested, "list": [1], **{f"n{i}": i for i in range(100)}}
    params = {"huge": 10**4000, "none": float("nan"), "endless": float("inf"), **params}
    error = read_error({"class": "permanent", "code": "media_too_large", "message": "Too large.", "params": params})
    assert error.params["limit"] == 5
    assert len(error.params["found"]) == 500
    assert {"nested", "list", "huge", "none", "endless"}.isdisjoint(error.params)
    assert len(error.params) <= 16


@pytest.mark.parametrize("kind", ["permanent", "transient", "fatal"])
@pytest.mark.parametrize("code", sorted({*NOT_ITS_FAULT, "detector_unavailable", "media_unreadable", "never_heard_of"}))
def test_a_child_judges_its_file_and_nothing_else(kind: str, code: str) -> None:
    """It must not blame the worker or a server: its request could be postponed forever, at no attempt's cost."""
    error = read_error_of_media({"class": kind, "code": code, "message": "Because."})
    honest = (kind, code) == ("permanent", "media_unreadable")
    assert (type(error), error.code) == ((Permanent, code) if honest else (Transient, "decoder_failed"))


def test_what_a_child_tells_beside_is_cut() -> None:
    """Its header may be a megabyte; the end of a traceback tells most."""
    told = _told({"detail": "x" * 10**6 + "the end"})
    assert len(str(told)) == 4000
    assert str(told).endswith("the end")
    assert _told({"detail": ["x"]}) is None


def test_every_verdict_of_a_child_is_declared() -> None:
    folder = Path(media.__file__).parent
    source = "".join(file.read_text() for file in folder.rglob("*.py") if file.name != "protocol.py")
    assert set(re.findall(r'Permanent\(\s*"([a-z_]+)"', source)) == VERDICTS_ON_MEDIA
