"""The sentence for each reason why a post was not fetched. The process that fetches says only the word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.observe import logs

BLOCKED_RETRY_SECONDS: Final = 600.0
"""A site that turns a worker away stays so for a while, and asking again makes it longer."""

_MAX_DETAIL: Final = 500

log = structlog.get_logger()

_ERRORS: Final[Mapping[str, Callable[[], CodedError]]] = {
    error().code: error
    for error in (
        lambda: Permanent("social_live", "The post is a live stream or has not begun: only recordings are analyzed."),
        lambda: Permanent("social_playlist", "The link leads to several videos: link one of them."),
        lambda: Permanent("social_private", "The post is private: only public posts are fetched."),
        lambda: Permanent("social_removed", "The post does not exist or was removed."),
        lambda: Permanent(
            "social_login_required", "The site shows this post to signed-in users only: only public posts are fetched."
        ),
        lambda: Permanent(
            "social_age_restricted", "The site asks for the viewer's age, so the post cannot be fetched here."
        ),
        lambda: Permanent(
            "social_unavailable_here", "The site does not show this post in the country that the worker is in."
        ),
        lambda: Permanent("social_protected", "The video is encrypted against copying (DRM), so it cannot be fetched."),
        lambda: Permanent("social_no_video", "There is no video or sound in the post that can be fetched."),
        lambda: Permanent("social_not_supported", "The link is not one of the sites that this worker fetches from."),
        lambda: Permanent(
            "social_js_runtime_missing",
            "The site hides its videos behind a script, and this worker runs no JavaScript: upload the file instead.",
        ),
        lambda: Permanent("media_too_large", "The post is larger than is allowed."),
        lambda: Permanent("media_too_long", "The video is longer than is allowed."),
        lambda: Transient(
            "social_blocked",
            "The site turns this worker away for now.",
            retry_after_seconds=BLOCKED_RETRY_SECONDS,
        ),
        lambda: Transient("social_unreachable", "The site cannot be reached now, or answers with an error."),
        lambda: Transient("social_failed", "The post could not be fetched; the site may have changed."),
        lambda: Transient("disk_full", "The worker's disk is full.", retry_after_seconds=60),
        lambda: Permanent(
            "social_not_confined",
            "This worker cannot confine the program that fetches posts, so it fetches none: upload the file instead.",
        ),
    )
}


def refused(message: Mapping[str, object], *, instead: CodedError | None = None) -> CodedError:
    """The error that the process's `failed` stands for, or what the worker knows better; what the process says
    beside the word is for the operator's log."""
    error = instead or refusal(message.get("code"))
    log.warning(logs.SOCIAL_FAILED, error_code=error.code, detail=str(message.get("detail"))[:_MAX_DETAIL])
    return error


def refusal(code: object) -> CodedError:
    """The error that `code` stands for; a word that is not known is a lie of the process, and a failure."""
    return _ERRORS.get(str(code), _ERRORS["social_failed"])()
