"""What an error means for the request: the one place where that is decided."""

import structlog

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import Cancelled, CodedError, Fatal, LeaseLost, Permanent, Released, Transient
from sentinel_worker.domain.request import Claim, Finish, Outcome, Stage
from sentinel_worker.observe import logs
from sentinel_worker.observe.masking import mask

NOT_ITS_FAULT = with_trait(Trait.NOT_ITS_FAULT)
"""Errors that would meet every request alike: an outage must not use up attempts."""
OTHERS_FIRST = with_trait(Trait.OTHERS_FIRST)
"""Others hold what this request needs, and it has its turn when they have had theirs, however long they do."""
SNOOZE_SECONDS = 30.0
REFUSED_MESSAGE = "The worker may not read or store files just now; the request is tried again."
"""What the request's owner reads of `access_refused`: the names of roles and the SQL to run are for operators."""
ELSEWHERE_SECONDS = 60.0
ELSEWHERE_AGE_SECONDS = 15 * 60.0
"""How long a request of kind `auto` waits for another worker, once its file is not for this one's detectors."""
SNOOZE_AGE_SECONDS = 24 * 3600.0
"""Older requests are retried instead, which ends: no outage is waited for for ever."""
FAULT = "The analysis failed because of a fault in the worker."
CAUSE_CHARACTERS = 4500
"""Of what stands behind an error: a decoding child's traceback, or a library's words, quoting strangers."""


log = structlog.get_logger()


def finish_for(error: Exception, claim: Claim, stage: Stage) -> Finish:
    """What `error` means for the request; raises `LeaseLost` again, after which nothing may be written.

    What nobody foresaw, here too, is logged as a fault of the worker, and costs the request an attempt.
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
    """What `auto` turns out to be is known only here; workers beside this one may have other detectors."""
    unserved = error.code == "detector_unavailable" and claim.media_kind == "auto"
    return unserved and claim.age_seconds < ELSEWHERE_AGE_SECONDS
