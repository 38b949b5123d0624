"""Structured logs: every event name of the daemon, and how lines are written.

One JSON object a line on standard error. While a request is worked on, `request_id` and `attempt`
are bound to the context of its task, so every line about it carries them.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Final, Literal

import structlog

STARTING: Final = "worker.starting"
READY: Final = "worker.ready"
DEGRADED: Final = "worker.degraded"
DRAINING: Final = "worker.draining"
DRAIN_EXPIRED: Final = "worker.drain_expired"
STOPPED: Final = "worker.stopped"
BROKEN: Final = "worker.broken"
CALL_FAILED: Final = "worker.call_failed"
SWEEP_MISSED: Final = "worker.sweep_missed"

SUPABASE_LOST: Final = "supabase.lost"
SUPABASE_RETURNED: Final = "supabase.returned"

REALTIME_READY: Final = "realtime.ready"
REALTIME_LOST: Final = "realtime.lost"
REALTIME_FAILED: Final = "realtime.failed"

CLAIMED: Final = "request.claimed"
ANSWERED: Final = "request.answered"
RETRIED: Final = "request.retried"
REFUSED: Final = "request.refused"
RELEASED: Final = "request.released"
CANCELLED: Final = "request.cancelled"
LEASE_LOST: Final = "request.lease_lost"
CRASHED: Final = "request.crashed"
NOT_DERIVED: Final = "request.not_derived"

SOCIAL_FETCHED: Final = "social.fetched"
SOCIAL_FAILED: Final = "social.failed"

OUTCOMES: Final[Mapping[str, str]] = {
    "succeeded": ANSWERED,
    "failed": REFUSED,
    "scheduled": RETRIED,
    "queued": RELEASED,
    "cancelled": CANCELLED,
}
"""The event for each status that a finish is answered with; any other answer is a lost lease."""

HEARTBEAT_FAILED: Final = "lease.heartbeat_failed"
HEARTBEAT_WITHHELD: Final = "lease.heartbeat_withheld"

REMOVED: Final = "storage.removed"
REMOVAL_FAILED: Final = "storage.removal_failed"

SANDBOX_LAYERS: Final = "sandbox.layers"
DETECTOR_LOADED: Final = "detector.loaded"

# Local variables are left out of tracebacks: those of an HTTP client hold keys.
_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure(level: Literal["debug", "info", "warning", "error"], log_format: Literal["json", "console"]) -> None:
    """Send structlog's and the libraries' logs to standard error; the libraries' only from warning up."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.ExceptionRenderer(_FRAMES), structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
            ],
        )
    )
    logging.getLogger("realtime").setLevel(logging.CRITICAL)  # each failed connection is logged by the supervisor
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(max(numeric, logging.WARNING))
