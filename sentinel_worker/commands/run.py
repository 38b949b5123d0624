"""`sentinel-worker run`: one worker until SIGTERM, and its exit code."""

import asyncio
import os
import signal
from collections.abc import Coroutine

import structlog

from sentinel_worker.commands.exits import EXIT_TEMPORARY, exit_code
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.machine_errors import passing_fault
from sentinel_worker.heavy_imports import heavy_imports
from sentinel_worker.observe import logs

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_once_on_signals(code: int) -> None:
    """Make SIGTERM and SIGINT end the process at once with `code`, while there is nothing to hand back.

    That holds until the worker handles signals itself, because an exception would be lost in an import, and again when
    its exit code is decided, because a thread that hangs would keep the process from ending.
    """
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: os._exit(code))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing can reload the keys


def serve_to_its_end(settings: Settings) -> int:
    """Run one worker, and log why it ends; returns its exit code."""
    try:
        from sentinel_worker.commands.chosen_detectors import all_here  # imports huggingface_hub

        specs = all_here(settings.detector_keys, settings.detectors)
        with heavy_imports():
            from sentinel_worker import daemon

        return asyncio.run(_ended(daemon.serve(settings, specs)))
    except Exception as error:  # noqa: BLE001 - the outermost boundary: the log says why the worker ends
        code = _log_end(error)
        end_at_once_on_signals(code)
        return code


async def _ended(serving: Coroutine[object, object, None]) -> int:
    """Return the worker's exit code. From then on a signal ends the process: the loop waits for its threads to end."""
    try:
        await serving
    except asyncio.CancelledError:
        code = 0  # a signal during the start
    except Exception as error:  # noqa: BLE001 - the outermost boundary: the log says why the worker ends
        code = _log_end(error)
    else:
        code = 0
    for number in (*ENDING_SIGNALS, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)
    end_at_once_on_signals(code)
    return code


def _log_end(error: Exception) -> int:
    """Log why the worker ends, with a traceback only if that is a bug; returns the exit code."""
    met = error if isinstance(error, CodedError) else passing_fault(error)
    if met is None:
        structlog.get_logger().error(logs.BROKEN, exc_info=error)
        return EXIT_TEMPORARY
    structlog.get_logger().error(logs.BROKEN, error_code=met.code, error=met.message)
    return exit_code(met)
