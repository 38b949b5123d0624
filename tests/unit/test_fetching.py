"""A worker's response to a URL while others hold what it needs; the look-ups are real threads without an answer."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.inference.flow import Flow
from sentinel_worker.queue.lease import Lease, boottime
from sentinel_worker.queue.rights import Doubt, RightsCheck
from sentinel_worker.sources.choosing import RequestSources
from sentinel_worker.sources.egress import OF_ONE_CLIENT, Egress, SystemLookUp
from sentinel_worker.sources.egress_policy import EgressPolicy, Target
from sentinel_worker.sources.fetched import Fetched
from sentinel_worker.sources.social.fetcher import Social
from sentinel_worker.sources.url import UrlRules
from sentinel_worker.worker.pipeline import Pipeline
from tests.claims import a_claim

IN_FLIGHT = OF_ONE_CLIENT + 2
SETTINGS = Settings(SUPABASE_URL="https://project.example", SUPABASE_SECRET_KEY="sb_secret_x")


@contextmanager
def silent() -> Iterator[Egress]:
    """A network whose name servers answer nothing until the end."""
    over = threading.Event()

    def ask(host: str, port: int) -> Sequence[str]:
        assert over.wait(60)
        return ["127.0.0.1"]

    try:
        yield Egress(EgressPolicy(), SystemLookUp(ask, in_flight=IN_FLIGHT), resolve_seconds=0.05)
    finally:
        over.set()
        for thread in look_ups():
            thread.join()


def look_ups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "look-up"]


def pipeline(egress: Egress, work: Path, social: Social | None = None) -> Pipeline:
    """A pipeline that can only fetch URLs."""
    ignoring: Any = SimpleNamespace(offer=lambda *_: None, report=lambda *_: None, keep=lambda *_: None)
    sources = RequestSources(SETTINGS, ignoring, UrlRules(egress), social)
    flow = Flow(zygote=ignoring, roster=ignoring, limits=MediaLimits(), work=work)
    return Pipeline(SETTINGS, flow, sources, derived=ignoring, progress=ignoring, rights=RightsCheck(ignoring, Doubt()))


def lease_of(url: str) -> Lease:
    return Lease(replace(a_claim(), source_url=url, storage_path=None), boottime())


@dataclass(frozen=True, slots=True)
class TakenOver(Social):
    """A post whose process looks up one name after another."""

    async def fetch(
        self, url: str, *, directory: Path, limit_bytes: int, on_progress: Callable[[float], None] = lambda _: None
    ) -> Fetched:
        error = Transient("social_failed", "No name was asked for.")
        for number in range(3 * IN_FLIGHT):
            try:
                await self.egress.resolve(Target("https", f"{number}.example", 443))
            except Transient as refused:
                error = refused
        raise error

    def suits(self, url: str) -> bool:
        return True


async def test_the_process_of_one_post_does_not_take_all_look_ups(tmp_path: Path) -> None:
    with silent() as egress:
        before = len(look_ups())
        with pytest.raises(Transient, match="url_unreachable"):  # its own doing, so it costs an attempt
            await pipeline(egress, tmp_path, TakenOver(egress, (), (), 60.0)).analyze(lease_of("https://post.example/"))
        assert len(look_ups()) == before + OF_ONE_CLIENT
        with pytest.raises(Transient, match="url_unreachable"):
            await egress.resolve(Target("https", "another.example", 443))
        assert len(look_ups()) == before + OF_ONE_CLIENT + 1


async def test_look_ups_that_others_have_taken_cost_no_attempt(tmp_path: Path) -> None:
    with silent() as egress:
        for _ in range(IN_FLIGHT):
            with pytest.raises(Transient, match="url_unreachable"):
                await egress.resolve(Target("https", "silent.example", 443))
        with pytest.raises(Transient, match="worker_busy"):  # unit/test_error_outcomes.py tests its outcome
            await pipeline(egress, tmp_path).analyze(lease_of("https://film.example/"))


async def test_a_place_that_others_hold_costs_no_attempt_either(tmp_path: Path) -> None:
    with silent() as egress:
        busy = pipeline(egress, tmp_path)
        urls = busy.sources._urls
        urls._patience_seconds = 0.05
        async with asyncio.timeout(30):
            places = [urls.place(uuid.uuid4()) for _ in range(SETTINGS.url_places)]
            for place in places:
                await place.__aenter__()
            with pytest.raises(Transient, match="worker_busy"):
                await busy.analyze(lease_of("https://film.example/"))
            for place in places:
                await place.__aexit__(None, None, None)
            with pytest.raises(Transient, match="url_unreachable"):
                await busy.analyze(lease_of("https://film.example/"))


@pytest.mark.parametrize(("slots", "wanted", "places"), [(8, 4, 4), (3, 4, 2), (2, 4, 1), (1, 4, 1), (8, 64, 7)])
def test_one_slot_stays_free_of_urls(slots: int, wanted: int, places: int) -> None:
    assert SETTINGS.model_copy(update={"slots": slots, "url_concurrency": wanted}).url_places == places
