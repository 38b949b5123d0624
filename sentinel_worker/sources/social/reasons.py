"""What yt-dlp's errors mean, as one word that the worker knows a sentence for.

yt-dlp tells most of them apart by English text alone, the site's own or its extractor's. The text itself never
leaves the process as a message to users: it can hold whatever a page says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from yt_dlp.networking.exceptions import HTTPError, ProxyError, TransportError
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadCancelled,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    UnavailableVideoError,
    UnsupportedError,
    UserNotLive,
    YoutubeDLError,
)

_STATUSES: Final = {
    HTTPStatus.UNAUTHORIZED: "social_login_required",
    HTTPStatus.PAYMENT_REQUIRED: "social_login_required",
    HTTPStatus.FORBIDDEN: "social_blocked",
    HTTPStatus.NOT_FOUND: "social_removed",
    HTTPStatus.GONE: "social_removed",
    HTTPStatus.TOO_MANY_REQUESTS: "social_blocked",
    HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS: "social_unavailable_here",
}
# The first that matches decides, so what contains another's words stands before it.
_SENTENCES: Final = tuple(
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        ("social_blocked", r"not a bot|captcha|rate.?limit|too many requests|ip address is (?:blocked|unable)|challenge"),
        ("social_age_restricted", r"confirm your age|age.?(?:restricted|gated?|limit|verif)|nsfw|adult content"),
        ("social_unavailable_here", r"in your (?:country|region)|your location|geo.?(?:restrict|block)"),
        ("social_protected", r"\bdrm\b"),
        ("social_live", r"premieres? (?:in|will)|will begin|not (?:yet )?started|not (?:currently )?live|\bupcoming\b"),
        ("social_private", r"\bprivate\b|protected (?:tweet|account)|not authorized to view|friends only"),
        (
            "social_login_required",
            r"--cookies|registered users|log(?:ged)? ?in\b|sign in|subscri(?:ber|ption)s?|members.only|premium|purchase"
            r"|password|authenticat",
        ),
        (
            "social_removed",
            r"removed|deleted|terminated|suspended|no longer (?:available|exists?)|(?:does not|doesn.t) exist"
            r"|not found|unavailable|not available",
        ),
        ("social_no_video", r"no (?:video|media|format)|not a video|there'?s no"),
    )
)
_SCRIPT_RUNTIME: Final = re.compile(r"javascript runtime", re.IGNORECASE)
_FORMATS: Final = re.compile(r"requested format is not available|no video formats found", re.IGNORECASE)
_URL: Final = re.compile(r"\S*(?:://|%3A%2F%2F)\S*|\S*[?&]\w+=\S*", re.IGNORECASE)
_MAX_DETAIL: Final = 500


class Refused(DownloadCancelled):  # type: ignore[misc]
    """This process's own refusal; of the class that passes through yt-dlp untouched."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def reason(error: BaseException, warnings: Iterable[str] = ()) -> str:
    """The code that `error` stands for; `warnings` are those that yt-dlp gave before it."""
    if isinstance(error, Refused):
        return error.code
    if isinstance(error, MemoryError):
        return "media_too_large"
    causes = list(_causes(error))
    for cause in causes:
        code = _by_class(cause)
        if code is not None:
            return code
    text = " ".join(str(getattr(cause, "orig_msg", cause)) for cause in causes)
    if _FORMATS.search(text) and any(_SCRIPT_RUNTIME.search(warning) for warning in warnings):
        return "social_js_runtime_missing"
    if _FORMATS.search(text):
        return "social_no_video"
    if any(isinstance(cause, YoutubeDLError) for cause in causes):
        for code, pattern in _SENTENCES:
            if pattern.search(text):
                return code
    return "social_failed"


def detail(error: BaseException) -> str:
    """For the operator's log: what went wrong, without addresses, whose queries may be secrets."""
    shown = " ".join(f"{type(cause).__name__}: {cause}" for cause in list(_causes(error))[:2])
    return _URL.sub("<url>", " ".join(shown.split()))[:_MAX_DETAIL]


def _causes(error: BaseException | None, depth: int = 6) -> Iterable[BaseException]:
    """`error` and what caused it, as yt-dlp nests them."""
    while error is not None and depth:
        yield error
        inner = getattr(error, "cause", None)
        if not isinstance(inner, BaseException) and isinstance(error, DownloadError):
            inner = error.exc_info[1] if error.exc_info else None
        if not isinstance(inner, BaseException) or inner is error:
            inner = error.__cause__ or error.__context__
        error, depth = inner, depth - 1


def _by_class(error: BaseException) -> str | None:
    if isinstance(error, HTTPError):
        server_fault = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return "social_unreachable" if server_fault else _STATUSES.get(error.status)
    if isinstance(error, OSError) and not isinstance(error, TimeoutError | ConnectionError):
        return _by_number(error)
    for kind, code in (
        (GeoRestrictedError, "social_unavailable_here"),
        (UserNotLive, "social_live"),
        (UnsupportedError, "social_not_supported"),
        (ContentTooShortError, "social_unreachable"),
        (ProxyError, "social_unreachable"),
        (TransportError, "social_unreachable"),
    ):
        if isinstance(error, kind):
            return code
    return None


def _by_number(error: OSError) -> str | None:
    import errno

    return {errno.EFBIG: "media_too_large", errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full"}.get(error.errno or 0)


__all__ = ["ExtractorError", "Refused", "UnavailableVideoError", "detail", "reason"]
