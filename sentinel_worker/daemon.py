"""Builds the worker: the only module that knows how its parts are made."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog

from sentinel_worker import __version__
from sentinel_worker.concurrency.fair_places import FairPlaces
from sentinel_worker.config.settings import Settings
from sentinel_worker.confine import sandbox
from sentinel_worker.confine.layers import Layers
from sentinel_worker.confine.private_folders import WorkFolder
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.machine_errors import machine_errors_translated
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.inference.examiner import check_polarities, open_examiner
from sentinel_worker.inference.flow import Flow
from sentinel_worker.observe import logs
from sentinel_worker.observe.health import Health
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.lease import Leases
from sentinel_worker.queue.outcomes import Outcomes
from sentinel_worker.queue.progress import Progress
from sentinel_worker.queue.removals import Removals
from sentinel_worker.queue.rights import Doubt, RightsCheck
from sentinel_worker.sources.choosing import RequestSources
from sentinel_worker.sources.social.fetcher import Social
from sentinel_worker.sources.url import UrlRules
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.breaker import Circuit
from sentinel_worker.supabase_client.expiry import KeyExpiry, refuse_expired
from sentinel_worker.supabase_client.key_rotation import KeyRotation
from sentinel_worker.supabase_client.keys import WorkerKeys
from sentinel_worker.wake.connection import ConnectionTimes
from sentinel_worker.wake.wakeup import Wakeup
from sentinel_worker.worker.derived_files import DerivedFiles
from sentinel_worker.worker.loop import Worker
from sentinel_worker.worker.machine import Machine
from sentinel_worker.worker.pipeline import Pipeline

log = structlog.get_logger()


async def serve(settings: Settings, specs: Sequence[DetectorSpec]) -> None:
    """Run one worker with these detectors until it is drained. Raises `Fatal` if it cannot start."""
    worker_id = uuid.uuid4()
    structlog.contextvars.bind_contextvars(worker=str(worker_id))
    log.info(
        logs.STARTING,
        version=__version__,
        pid=os.getpid(),
        url=settings.supabase_url,
        detector=settings.detector,
    )
    end_on_signals()
    refuse_expired(WorkerKeys(settings))
    async with AsyncExitStack() as stack:
        stack.enter_context(machine_errors_translated())
        work = stack.enter_context(WorkFolder.opened(settings.work_dir))
        machine = Machine(work)
        await stack.enter_async_context(machine.explaining())
        limits = media_limits(settings)
        examiner = await stack.enter_async_context(
            open_examiner(
                specs,
                work.path,
                device=settings.device,
                limits=limits,
                batch_windows=settings.batch_windows,
                sandbox=settings.sandbox,
            )
        )
        _log_layers(examiner.zygote.layers)
        for scorer in examiner.roster.scorers.values():
            log.info(logs.DETECTOR_LOADED, **scorer.describe())
        await check_polarities(examiner)
        children = FairPlaces(settings.decode_concurrency)
        flow = Flow(examiner.zygote, examiner.roster, limits, work.path, settings.coverage, children, settings.preview)
        url_rules = UrlRules.from_settings(settings)
        social = await asyncio.to_thread(Social.from_settings, settings, url_rules.egress)

        def pipeline_of(http: httpx.AsyncClient, progress: Progress, rights: RightsCheck) -> Pipeline:
            sources, derived = RequestSources(settings, http, url_rules, social), DerivedFiles(http, rights, machine)
            return Pipeline(settings, flow, sources, derived, progress, rights)

        parts = await stack.enter_async_context(open_worker(settings, worker_id, pipeline_of, machine=machine))
        parts.worker.drain_on_signals()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, parts.rotation.nudge)
        await parts.worker.run(parts.rotation.run)


@dataclass(frozen=True)
class Parts:
    """A worker and those of its parts that callers may inspect or nudge."""

    worker: Worker
    wakeup: Wakeup | None
    circuit: Circuit
    health: Health
    keys: WorkerKeys
    rotation: KeyRotation


@asynccontextmanager
async def open_worker(
    settings: Settings,
    worker_id: uuid.UUID,
    pipeline_of: Callable[[httpx.AsyncClient, Progress, RightsCheck], Pipeline],
    *,
    machine: Machine | None = None,
    client_type: type[QueueClient] = QueueClient,
    circuit: Circuit | None = None,
    wake: asyncio.Event | None = None,
    times: ConnectionTimes | None = None,
) -> AsyncIterator[Parts]:
    """Build a worker with its connections to Supabase around the given pipeline; the caller awaits `worker.run`.

    `pipeline_of` receives the HTTP client for Storage. Without a `machine`, nothing is tried out after errors.
    """
    async with AsyncExitStack() as stack:
        circuit, wake, health = circuit or Circuit(), wake or asyncio.Event(), Health()
        loop, look_at_keys, doubt = asyncio.get_running_loop(), asyncio.Event(), Doubt()

        def key_refused() -> None:
            """Look at the keys again, because the one in use may have just been replaced. Safe from any thread."""
            loop.call_soon_threadsafe(look_at_keys.set)

        keys = WorkerKeys(settings, refused=key_refused)
        client, heartbeat_client = connections.connect(settings, keys), connections.connect_sync(settings, keys)
        stack.callback(connections.close_sync, heartbeat_client)
        stack.push_async_callback(connections.close, client)
        http = await stack.enter_async_context(connections.storage_http(settings, keys, circuit))
        queue = client_type(client, worker_id, circuit, refused=doubt.call_refused)
        progress, rights = Progress(queue), RightsCheck(queue, doubt)
        wakeup = _wakeup(settings, keys, wake, circuit, times) if settings.realtime else None
        worker = Worker(
            settings,
            queue=queue,
            leases=Leases(
                heartbeat_client,
                worker_id,
                lease_seconds=settings.lease_seconds,
                heartbeat_seconds=settings.heartbeat_seconds,
                refused=rights.doubt,
            ),
            outcomes=Outcomes(queue, refused=wake.set),
            progress=progress,
            pipeline=pipeline_of(http, progress, rights),
            machine=machine or Machine(),
            removals=Removals(queue, http, rights),
            rights=rights,
            expiry=KeyExpiry(keys, look=look_at_keys.set),
            wakeup=wakeup,
            wake=wake,
            health=health,
        )
        rotation = _rotation(settings, keys, look_at_keys, worker, wakeup)
        yield Parts(worker, wakeup, circuit, health, keys, rotation)


def _log_layers(layers: Layers) -> None:
    """Log the layers that confine a decoding child, and those that this kernel did not grant."""
    level = log.warning if set(layers.missing) & set(sandbox.REQUIRED) else log.info
    level(logs.SANDBOX_LAYERS, in_force=layers.in_force, missing=dict(layers.missing))


def media_limits(settings: Settings) -> MediaLimits:
    """Return the limits on one file."""
    return MediaLimits(
        max_bytes=settings.media_max_bytes,
        max_duration_seconds=settings.media_max_seconds,
        max_wall_seconds=settings.analyze_deadline_seconds,
    )


def end_on_signals() -> None:
    """Make signals cancel the startup, until the worker handles them itself: there is nothing to hand back yet."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the keys have just been read


def _wakeup(
    settings: Settings, keys: WorkerKeys, wake: asyncio.Event, circuit: Circuit, times: ConnectionTimes | None
) -> Wakeup:
    return Wakeup(
        url=settings.supabase_url,
        api_key=lambda: keys.current.api_key,
        token=lambda: keys.current.token,
        event=wake,
        times=times,
        circuit=circuit,
    )


def _rotation(
    settings: Settings, keys: WorkerKeys, asked: asyncio.Event, worker: Worker, wakeup: Wakeup | None
) -> KeyRotation:
    """Build the rotation, which brings a changed key into use everywhere."""

    def changed() -> None:
        worker.key_changed()
        if wakeup is not None:
            wakeup.renew()

    return KeyRotation(
        keys,
        asked=asked,
        try_key=lambda key: connections.try_key(settings, key),
        changed=changed,
        look_seconds=settings.sweep_seconds,
    )
