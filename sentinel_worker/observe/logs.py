"""Structured logs: every event name of the daemon, and the format of lines.

One JSON object per line on standard error, which `log_stream` keeps from failing. While a request is worked on,
`request_id` and `attempt` are bound to the context of its task, so every line about it carries them.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal

import structlog

from sentinel_worker.observe import log_stream, masking

STARTING: Final = "worker.starting"
READY: Final = "worker.ready"
DEGRADED: Final = "worker.degraded"
DRAINING: Final = "worker.draining"
DRAIN_ASKED: Final = "worker.drain_asked"
DRAIN_EXPIRED: Final = "worker.drain_expired"
STOPPED: Final = "worker.stopped"
BROKEN: Final = "worker.broken"
UNHANDLED: Final = "worker.unhandled"
LINES_LOST: Final = "log.lines_lost"
CALL_FAILED: Final = "worker.call_failed"
SWEEP_MISSED: Final = "worker.sweep_missed"

MACHINE_UNFIT: Final = "machine.unfit"
MACHINE_FIT: Final = "machine.fit"

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
STORAGE_REPEATED: Final = "storage.repeated"

SOCIAL_FETCHED: Final = "social.fetched"
SOCIAL_FAILED: Final = "social.failed"

OUTCOMES: Final[Mapping[str, str]] = {
    "succeeded": ANSWERED,
    "failed": REFUSED,
    "scheduled": RETRIED,
    "queued": RELEASED,
    "cancelled": CANCELLED,
}
"""Event for each status that a finish returns; any other status means a lost lease."""

HEARTBEAT_FAILED: Final = "lease.heartbeat_failed"
HEARTBEAT_WITHHELD: Final = "lease.heartbeat_withheld"

REMOVED: Final = "storage.removed"
REMOVAL_FAILED: Final = "storage.removal_failed"

KEY_CHANGED: Final = "key.changed"
KEY_REFUSED: Final = "key.refused"
KEY_UNREADABLE: Final = "key.unreadable"
KEY_READ_AGAIN: Final = "key.read_again"
KEY_EXPOSED: Final = "key.exposed"
KEY_EXPIRES: Final = "key.expires"

RIGHT_MISSING: Final = "right.missing"
RIGHTS_UNKNOWN: Final = "right.unknown"

DECODER_LOST: Final = "decoder.lost"
DECODER_NOT_STARTED: Final = "decoder.not_started"

SANDBOX_LAYERS: Final = "sandbox.layers"

DETECTOR_LOADED: Final = "detector.loaded"

LONGEST_TEXT: Final = 8 * 1024
"""Characters of one text in a line of JSON; a line that `masking` has to cut would no longer be JSON."""

# Local variables are left out of tracebacks: an HTTP client's variables hold keys.
_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure(level: Literal["debug", "info", "warning", "error"], log_format: Literal["json", "console"]) -> None:
    """Send the logs of structlog and of libraries to standard error; libraries only from level warning.

    Text that `masking` takes for a secret is never written; `leave_no_secrets` covers what does not come this way.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.ExceptionRenderer(_FRAMES), _shortened, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    last.append(_without_secrets)
    log_stream.tell_lost_lines(_notice_of_lost_lines([*shared[1:], *last]))
    numeric = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line in one call, so that threads mix no lines
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


def _notice_of_lost_lines(processors: Sequence[structlog.typing.Processor]) -> log_stream.Notice:
    """Return what renders the line about lines that were lost. It belongs to no request, but to its worker."""
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=processors, wrapper_class=structlog.BoundLogger)

    def notice(lines: int) -> str:
        of_worker = {name: value for name, value in structlog.contextvars.get_contextvars().items() if name == "worker"}
        return f"{log.warning(LINES_LOST, lines=lines, **of_worker)}\n"

    return notice


def leave_no_secrets() -> None:
    """Mask what bypasses `configure`'s handler: uncaught exceptions, and libraries with their own handlers.

    asyncio reports its errors through `logging`.
    """
    logging.setLogRecordFactory(_masked_record)
    warnings.showwarning = _write_warning
    sys.excepthook = _write_unhandled
    threading.excepthook = lambda met: _write_unhandled(met.exc_type, met.exc_value, met.exc_traceback)
    sys.unraisablehook = lambda met: _write_unhandled(met.exc_type, met.exc_value, met.exc_traceback, met.err_msg)


def _masked_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    record.msg, record.args = masking.mask(_message(record)), None
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = masking.mask("".join(traceback.format_exception(*record.exc_info))).rstrip("\n")
    return record


def _message(record: logging.LogRecord) -> str:
    """Return the logged message; wrong arguments must not break the library that passed them, as they would not
    without us."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments may raise anything when they are shown
        return f"{_shown(record.msg, str)} {_shown(record.args, repr)}"


def _shown(value: object, show: Callable[[object], str]) -> str:
    try:
        return show(value)
    except Exception:  # noqa: BLE001 - as above
        return f"({type(value).__name__} that cannot be shown)"


def _write_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Log a warning like `logging.captureWarnings`, which prints nothing if no handler is configured."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if structlog.is_configured():
        logging.getLogger("py.warnings").warning("%s", text.rstrip("\n"))
    else:
        sys.stderr.write(masking.mask(text))


def _write_unhandled(
    kind: type[BaseException],
    error: BaseException | None,
    trace: TracebackType | None,
    where: str | None = None,
) -> None:
    if issubclass(kind, SystemExit):
        return
    if structlog.is_configured():
        structlog.get_logger().error(UNHANDLED, where=where, exc_info=(kind, error or kind(), trace))
    else:
        sys.stderr.write(masking.mask("".join(traceback.format_exception(kind, error, trace))))


def _shortened(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    shortened: structlog.typing.EventDict = masking.masked(event, _short)
    return shortened


def _short(text: str) -> str:
    return masking.mask(text, LONGEST_TEXT) if len(text) > LONGEST_TEXT else text


def _without_secrets(_logger: Any, _method: str, line: str | bytes | Mapping[str, Any]) -> str:
    """Mask the finished line in the last step, so that no field, traceback or library can slip through."""
    assert isinstance(line, str)
    return masking.mask(line)
