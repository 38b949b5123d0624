"""Fetching a post of a social site into a request's private folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import stat
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from sentinel_worker.concurrency.uninterrupted import to_the_end
from sentinel_worker.config.settings import Settings
from sentinel_worker.confine.hostile_folder import clear
from sentinel_worker.confine.layers import Mode
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Permanent
from sentinel_worker.domain.json_numbers import LARGEST
from sentinel_worker.observe import logs
from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.forward_proxy import ForwardProxy, ProxyLimits
from sentinel_worker.sources.social import catalogue
from sentinel_worker.sources.social.bounded_scan import is_overfull
from sentinel_worker.sources.social.child_process import BOOT, SocialProcess, started
from sentinel_worker.sources.social.instructions import FOLDER, Order
from sentinel_worker.sources.social.sentences import refused, social_error

PAGES_BYTES: Final = 64 * 1024**2
"""Allowance for a post's pages, manifests and retries, in addition to its media."""
WITHOUT_SOUND: Final = (
    "The site offers this post's pictures and sound only separately, or together with very small pictures: "
    "the pictures were analyzed without the sound."
)
FULL_BELOW_BYTES: Final = 64 * 1024**2
"""A disk with more free space than this is not full, even if the process says so."""
LOOK_EVERY_SECONDS: Final = 1.0
_BLOCK_BYTES: Final = 1024**2
_MAX_HEIGHT: Final = 2**16
_MAX_NAME: Final = 80
_OF_PROXY: Final = with_trait(Trait.OF_PROXY)
"""Codes that yt-dlp's errors get when the proxy refused a connection."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Social:
    """Fetches posts of `sites` (names of yt-dlp's extractors) through a proxy that asks `egress`.

    `limit_seconds` is the longest video. `without_namespace` lets the process share the machine's network if it cannot
    have a namespace of its own. `boot` is its program; tests bring one with an extractor of their own.
    `compute` counts its CPU seconds.
    """

    egress: Egress
    sites: tuple[str, ...]
    extractors: Sequence[catalogue.Extractor]
    limit_seconds: float
    stall_seconds: float = 30.0
    without_namespace: bool = False
    sandbox: Mode = "auto"
    boot: str = BOOT
    compute: Compute | None = None

    @classmethod
    def from_settings(cls, settings: Settings, egress: Egress) -> Social | None:
        """Return the operator's configuration, or None if posts are disabled. Raises `Fatal('bad_settings')`."""
        if "social" not in settings.url_sources:
            return None
        return cls(
            egress,
            settings.social_extractors,
            catalogue.find_extractors(settings.social_extractors),
            limit_seconds=settings.media_max_seconds,
            without_namespace=settings.social_without_namespace,
            sandbox=settings.sandbox,
        )

    def suits(self, url: str) -> bool:
        """Return True if `url` is a post (or a list) of an allowed site; other URLs are fetched directly."""
        return catalogue.suits(url, self.extractors)

    async def fetch(
        self,
        url: str,
        *,
        directory: Path,
        limit_bytes: int,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> Fetched:
        """Fetch the post at `url` into `directory`; `on_progress` gets fractions from 0 to 1.

        Raises the errors of `sentences`, the policy's `Permanent('url_refused')`, and `Transient` with
        `social_stalled` or `url_unreachable`.
        """
        shown = self.egress.policy.check_url(url).shown
        folder = directory / FOLDER
        folder.mkdir(mode=0o700)
        try:
            facts = await self._run(url, folder, limit_bytes, on_progress)
            fetched = await to_the_end(asyncio.to_thread(_take, folder / FILE_NAME, directory / FILE_NAME, limit_bytes))
        finally:
            await to_the_end(asyncio.to_thread(clear, folder))
        log.info(logs.SOCIAL_FETCHED, **_noted(facts), size_bytes=fetched.size_bytes)
        notice = WITHOUT_SOUND if facts.get("sound_left_out") is True else None
        return replace(fetched, source_url=shown, notice=notice)

    async def _run(
        self, url: str, folder: Path, limit_bytes: int, on_progress: Callable[[float], None]
    ) -> Mapping[str, Any]:
        """Run the process to its end; return its facts about the file."""
        try:
            return await self._confined(url, folder, limit_bytes, on_progress, shared=False)
        except Permanent as error:
            if error.code != "social_not_confined" or not self.without_namespace:
                raise
        return await self._confined(url, folder, limit_bytes, on_progress, shared=True)

    async def _confined(
        self, url: str, folder: Path, limit_bytes: int, on_progress: Callable[[float], None], *, shared: bool
    ) -> Mapping[str, Any]:
        proxy = ForwardProxy(self.egress, ProxyLimits(limit_bytes + PAGES_BYTES, stall_seconds=self.stall_seconds))
        async with AsyncExitStack() as stack:
            own = stack.enter_context(socket.create_server(("127.0.0.1", 0))) if shared else None
            order = Order(
                url,
                self.sites,
                limit_bytes,
                self.limit_seconds,
                proxy.password,
                self.stall_seconds,
                proxy_port=own.getsockname()[1] if own is not None else None,
                sandbox=self.sandbox,
            )
            process = await stack.enter_async_context(started(order, folder, boot=self.boot, compute=self.compute))
            listener = own or stack.enter_context(await process.listener())
            await stack.enter_async_context(proxy.serve(listener))
            full = asyncio.ensure_future(_filled(folder, 2 * limit_bytes + PAGES_BYTES))
            stack.callback(full.cancel)
            return await _unless([proxy.failure, full], _outcome(process, proxy, folder, on_progress))


async def _outcome(
    process: SocialProcess, proxy: ForwardProxy, folder: Path, on_progress: Callable[[float], None]
) -> Mapping[str, Any]:
    async for news in process.news():
        match news.get("event"):
            case "progress":
                on_progress(_fraction(news))
            case "done":
                return news
            case "failed":
                raise refused(news, instead=_better_known(str(news.get("code")), proxy, folder))
    raise refused({"code": "social_failed", "detail": "the process ended without reporting a result"})


def _better_known(code: str, proxy: ForwardProxy, folder: Path) -> CodedError | None:
    """Return the worker's own error if it knows more than the process, else None."""
    if code in _OF_PROXY:
        return proxy.refusal
    # A full disk costs no attempt, so a lying process could be retried for ever.
    if code == "disk_full" and shutil.disk_usage(folder).free > FULL_BELOW_BYTES:
        return social_error("social_failed")
    return None


async def _unless(
    failures: Sequence[asyncio.Future[CodedError]], work: Coroutine[Any, Any, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return the result of `work`, or raise the first of `failures`, which overrides the process's own report."""
    task = asyncio.ensure_future(work)
    try:
        waits: list[asyncio.Future[Any]] = [task, *failures]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for failure in failures:
            if failure.done():
                raise failure.result()
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _filled(folder: Path, limit_bytes: int) -> CodedError:
    """Wait until `folder` contains too much: the kernel limits the size of a file, not the number of files."""
    while True:
        if await asyncio.to_thread(is_overfull, folder, limit_bytes):
            return social_error("media_too_large")
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _fraction(news: Mapping[str, Any]) -> float:
    """Return the fraction done, from an untrusted process's report; 0 if the size is unknown."""
    done, total = _count(news.get("done")), _count(news.get("total"))
    return done / total if done is not None and total and done <= total else 0.0


def _count(value: object) -> float | None:
    """Validate a number of bytes: Python's JSON parser accepts infinities, and integers larger than any float."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        return None
    return float(value)


def _noted(facts: Mapping[str, Any]) -> dict[str, str | int | None]:
    """Return a post's facts for the log, shortened: an untrusted process may send 64 kilobytes as a name."""
    extractor, height = facts.get("extractor"), facts.get("height")
    plain = isinstance(height, int) and not isinstance(height, bool) and 0 < height <= _MAX_HEIGHT
    return {
        "extractor": None if extractor is None else str(extractor)[:_MAX_NAME],
        "height": height if plain else None,
    }


def _take(made: Path, path: Path, limit_bytes: int) -> Fetched:
    """Move the process's file to its place and hash it; the process is dead, so the file no longer changes.

    Raises `Permanent('media_too_large')`, and `Transient('social_failed')` if it is not a plain file.
    """
    try:
        descriptor = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise social_error("social_failed") from None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise social_error("social_failed")
        if status.st_size > limit_bytes:
            raise social_error("media_too_large")
        digest = hashlib.sha256()
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        made.rename(path)
    return Fetched(path, status.st_size, digest.hexdigest())
