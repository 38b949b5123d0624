"""Errors of posts with their sentences. The process that fetches sends only an error code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.machine_errors import fault_of_machine
from sentinel_worker.observe import logs

BLOCKED_RETRY_SECONDS: Final = 600.0
"""Delay after a site blocked the worker: blocks last for a while, and more requests prolong them."""

_MAX_DETAIL: Final = 500

log = structlog.get_logger()

_ERRORS: Final[Mapping[str, Callable[[], CodedError]]] = {
    error().code: error
    for error in (
        lambda: Permanent("social_live", "The post is a live stream or has not started: only recordings are analyzed."),
        lambda: Permanent("social_playlist", "The link leads to several videos: link to one of them."),
        lambda: Permanent("social_private", "The post is private: only public posts are fetched."),
        lambda: Permanent("social_removed", "The post does not exist or was removed."),
        lambda: Permanent(
            "social_login_required", "The site requires signing in to see this post: only public posts are fetched."
        ),
        lambda: Permanent(
            "social_age_restricted", "The site asks for the viewer's age, so the post cannot be fetched."
        ),
        lambda: Permanent("social_unavailable_here", "The site does not show this post in the worker's country."),
        lambda: Permanent("social_protected", "The video is protected by DRM, so it cannot be fetched."),
        lambda: Permanent("social_no_video", "The post has no video or sound that can be fetched."),
        lambda: Permanent("social_not_supported", "The link does not belong to a site that this worker fetches from."),
        lambda: Permanent(
            "social_js_runtime_missing",
            "The site's videos need JavaScript, which this worker does not run: upload the file instead.",
        ),
        lambda: Permanent("media_too_large", "The post is larger than allowed."),
        lambda: Permanent("media_too_long", "The video is longer than allowed."),
        lambda: Transient(
            "social_blocked",
            "The site is blocking this worker for now.",
            retry_after_seconds=BLOCKED_RETRY_SECONDS,
        ),
        lambda: Transient("social_unreachable", "The site could not be reached, or responded with an error."),
        lambda: Transient("social_failed", "The post could not be fetched; the site may have changed."),
        lambda: fault_of_machine("disk_full"),
        lambda: Permanent(
            "social_not_confined",
            "This worker cannot sandbox the program that fetches posts, so it is disabled: upload the file instead.",
        ),
    )
}


def refused(message: Mapping[str, object], *, instead: CodedError | None = None) -> CodedError:
    """Return the error for the process's `failed` packet, or `instead` if the worker knows better.

    The packet's detail goes to the operator's log.
    """
    error = instead or social_error(message.get("code"))
    log.warning(logs.SOCIAL_FAILED, error_code=error.code, detail=str(message.get("detail"))[:_MAX_DETAIL])
    return error


def social_error(code: object) -> CodedError:
    """Return the error for `code`; an unknown code from the untrusted process becomes `social_failed`."""
    return _ERRORS.get(str(code), _ERRORS["social_failed"])()
