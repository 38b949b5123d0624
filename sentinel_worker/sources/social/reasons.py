"""Error codes for yt-dlp's errors; `sentences` has the sentence for each code.

yt-dlp distinguishes most errors only by English text, from the site or its extractor. That text never leaves the
process as a message to users, because a page can put anything in it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    GeoRestrictedError,
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
_SENTENCES: Final = {
    # The first match decides, so patterns that contain another's words precede it.
    "social_not_supported": r"no suitable extractor",
    "social_blocked": (
        r"not a bot|captcha|rate.?limit|too many requests|ip address is (?:blocked|unable)|rejected by server"
    ),
    "social_age_restricted": r"confirm your age|age.?(?:restrict|gate|limit|verif)|nsfw|adult content",
    "social_unavailable_here": r"in your (?:country|region)|your location|geo.?(?:restrict|block)",
    "social_protected": r"\bdrm\b",
    "social_live": r"premieres? (?:in|will)|will begin|not (?:yet )?started|not (?:currently )?live\b|\bupcoming\b",
    "social_private": r"\bprivate\b|protected (?:tweet|account)|not authorized to view|friends only",
    "social_login_required": (
        r"--cookies|registered users|log(?:ged)?[ -]?in\b|sign in|subscri(?:ber|ption)|members.only|supporter.only"
        r"|premium|purchase|password|authenticat|your account"
    ),
    "social_removed": (
        r"removed|deleted|terminated|suspended|no longer (?:available|exists?)|(?:does not|doesn.t) exist"
        r"|not found|unavailable|not available"
    ),
    "social_no_video": r"no (?:video|media|format)|not a video|(?:not have|isn.t) any videos?",
}
_CLASSES: Final[Mapping[type[BaseException], str]] = {
    MemoryError: "media_too_large",
    GeoRestrictedError: "social_unavailable_here",
    UserNotLive: "social_live",
    UnsupportedError: "social_not_supported",
    ContentTooShortError: "social_unreachable",
    TransportError: "social_unreachable",
}
_NUMBERS: Final[Mapping[int | None, str]] = {
    errno.EFBIG: "media_too_large",
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
}
_SCRIPT_RUNTIME: Final = re.compile(r"javascript runtime", re.IGNORECASE)
_FORMATS: Final = re.compile(r"requested format is not available|no video formats found", re.IGNORECASE)
_URL: Final = re.compile(r"\S*(?:://|%3A%2F%2F)\S*|\S*[?&]\w+=\S*", re.IGNORECASE)
_MAX_DETAIL: Final = 500


class Refused(Exception):
    """A refusal by this process; not a subclass of an exception that yt-dlp handles itself."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def reason(error: BaseException, warnings: Iterable[str] = ()) -> str:
    """Return the error code for `error`; `warnings` are those that yt-dlp gave before it."""
    causes = list(_causes(error))
    by_class = next((code for code in map(_by_class, causes) if code is not None), None)
    if by_class is not None:
        return by_class
    text = " ".join(str(getattr(cause, "orig_msg", cause)) for cause in causes if isinstance(cause, YoutubeDLError))
    if _FORMATS.search(text):
        hidden = any(_SCRIPT_RUNTIME.search(warning) for warning in warnings)
        return "social_js_runtime_missing" if hidden else "social_no_video"
    matching = (code for code, pattern in _SENTENCES.items() if re.search(pattern, text, re.IGNORECASE))
    return next(matching, "social_failed")


def detail(error: BaseException) -> str:
    """Describe `error` for the operator's log, without URLs, whose queries may be secrets."""
    shown = " ".join(f"{type(cause).__name__}: {cause}" for cause in list(_causes(error))[:2])
    return _URL.sub("<url>", " ".join(shown.split()))[:_MAX_DETAIL]


def _causes(error: BaseException | None, depth: int = 6) -> Iterable[BaseException]:
    """Yield `error` and its causes, as yt-dlp nests them."""
    while error is not None and depth:
        yield error
        inner = getattr(error, "cause", None)
        if not isinstance(inner, BaseException) and isinstance(error, DownloadError):
            inner = error.exc_info[1] if error.exc_info else None
        if not isinstance(inner, BaseException) or inner is error:
            inner = error.__cause__ or error.__context__
        error, depth = inner, depth - 1


def _by_class(error: BaseException) -> str | None:
    match error:
        case Refused():
            return error.code
        case HTTPError():
            return (
                "social_unreachable"
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                else _STATUSES.get(error.status)
            )
    return next((code for kind, code in _CLASSES.items() if isinstance(error, kind)), _NUMBERS.get(_number(error)))


def _number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None
