"""Map errors to outcomes of the request. No other module decides this."""

import structlog

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import Cancelled, CodedError, Fatal, LeaseLost, Permanent, Released, Transient
from sentinel_worker.domain.request import Claim, Finish, Outcome, Stage
from sentinel_worker.observe import logs
from sentinel_worker.observe.masking import mask

NOT_ITS_FAULT = with_trait(Trait.NOT_ITS_FAULT)
"""Errors that would affect every request: an outage must not use up attempts."""
OTHERS_FIRST = with_trait(Trait.OTHERS_FIRST)
"""Errors of a request that waits for resources held by others. Such a wait never uses up attempts."""
SNOOZE_SECONDS = 30.0
REFUSED_MESSAGE = "The worker cannot read or store files at the moment; the request will be retried."
"""Message of `access_refused` for the request's owner. The role names and the SQL to run are only for operators."""
ELSEWHERE_SECONDS = 60.0
ELSEWHERE_AGE_SECONDS = 15 * 60.0
"""A request of kind `auto` waits this long for another worker if its file does not suit this worker's detectors."""
SNOOZE_AGE_SECONDS = 24 * 3600.0
"""Older requests are retried instead, a limited number of times, so no request waits for ever."""
FAULT = "The analysis failed because of an internal error of the worker."
CAUSE_CHARACTERS = 4500
"""Longest cause that is stored: a decoding child's traceback or a library's message, which may quote user input."""


log = structlog.get_logger()


def finish_for(error: Exception, claim: Claim, stage: Stage) -> Finish:
    """Return the outcome of the request after `error`; re-raises `LeaseLost`, after which nothing may be written.

    An unexpected exception, even one raised here, is logged as an internal error and costs the request an attempt.
    """
    try:
        return _meaning(error, claim, stage)
    except LeaseLost:
        raise
    except Exception:
        log.exception(logs.CRASHED, stage=stage)
        return _meaning(Transient("internal_error", FAULT), claim, stage)


def _meaning(error: Exception, claim: Claim, stage: Stage) -> Finish:
    code = error.code if isinstance(error, CodedError) else ""
    refused = code == "access_refused"
    not_its_fault = code in OTHERS_FIRST or (code in NOT_ITS_FAULT and claim.age_seconds < SNOOZE_AGE_SECONDS)
    delay_seconds = error.retry_after_seconds if isinstance(error, Transient) else None
    match error:
        case Cancelled():
            return Finish("cancelled", stage=stage)
        case Released():
            return Finish("released", stage=stage)
        case Transient() if not_its_fault:
            outcome: Outcome = "snoozed"
            delay_seconds = delay_seconds or SNOOZE_SECONDS
        case Permanent() if _may_be_served_elsewhere(error, claim):
            outcome, delay_seconds = "snoozed", ELSEWHERE_SECONDS
        case Transient() | Fatal():
            outcome = "retry"
        case CodedError():
            outcome = "failed"
        case _:
            raise error
    return Finish(
        outcome,
        stage=stage,
        error_code=error.code,
        error_message=REFUSED_MESSAGE if refused else error.message,
        error_params=error.params,
        error_detail={
            "class": type(error).__name__.lower(),
            "cause": mask(repr(error.__cause__), CAUSE_CHARACTERS) if error.__cause__ else None,
            **({"remedy": error.message} if refused else {}),
        },
        delay_seconds=delay_seconds,
    )


def _may_be_served_elsewhere(error: Permanent, claim: Claim) -> bool:
    """Return True if another worker may have a detector: the kind of an `auto` request is known only after probing."""
    unserved = error.code == "detector_unavailable" and claim.media_kind == "auto"
    return unserved and claim.age_seconds < ELSEWHERE_AGE_SECONDS
