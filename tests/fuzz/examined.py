"""Sends one file through one child: every question that the worker asks, even after errors."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.media_facts import ClipGeometry, FaceSearch, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.child_client import Child, ChildError
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.zygote import Zygote

_GEOMETRY = ClipGeometry(4, 0.05, "shortest_edge", 32, 32, 32, 32)
_SOUND = SoundGeometry(samples=4000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one file. `name` is counted. `fault` describes a failure that must never happen: a traceback of a
    child, a child lost without a reason, a worker that cannot go on.
    """

    name: str
    fault: str = ""
    crashed: bool = False


async def examine(zygote: Zygote, path: Path, limits: MediaLimits) -> Outcome:
    """Ask for probe, clips, faces, sounds and a thumbnail; the first error names the outcome."""
    try:
        async with zygote.open(path, path.parent, limits) as child:
            try:
                facts = await child.probe()
            except CodedError as error:
                return _outcome("refused", error, child)
            failed = [await _asked(child, question) for question in _questions(facts)]
            return next((outcome for outcome in failed if outcome), Outcome(f"analyzed as {facts.kind}"))
    except CodedError as error:
        return Outcome(error.code, fault=str(error))


Question = Callable[[Child], Awaitable[object]]


def _questions(facts: ProbedFacts) -> list[Question]:
    start = max(0.0, facts.duration_seconds - 0.2)
    windows = [Window(0.0, 0.2), Window(start, start + 0.2)]
    asked: list[Question] = []
    if facts.kind != "audio":
        asked += [
            lambda child: _all(child, windows, None),
            lambda child: _all(child, windows[:1], FaceSearch(samples=2)),
        ]
        asked.append(lambda child: child.derive([Still(0.0), Still(start)], names=["first.webp", "worst.webp"]))
    if facts.has_audio:
        asked.append(lambda child: _heard(child, windows))
    return asked


async def _all(child: Child, windows: list[Window], faces: FaceSearch | None) -> None:
    async for _ in child.clips(windows, _GEOMETRY, faces):
        pass


async def _heard(child: Child, windows: list[Window]) -> None:
    async for _ in child.sounds(windows, _SOUND):
        pass


async def _asked(child: Child, question: Question) -> Outcome | None:
    try:
        await question(child)
    except CodedError as error:
        return _outcome("probed, then", error, child)
    return None


def _outcome(when: str, error: CodedError, child: Child) -> Outcome:
    exited = child._process.exited
    code = exited.result() if exited.done() else None
    if code is not None and code < 0:
        how = signal.Signals(-code).name
        # A SIGKILL from the kernel means that the machine, not the child, ran out of memory.
        fault = str(error) if how == "SIGKILL" else ""
        return Outcome(f"{when} ended by {how}: {error.code}", fault, crashed=True)
    if isinstance(error.__cause__, ChildError):
        return Outcome("unexpected", fault=str(error.__cause__))
    if isinstance(error, Permanent) or error.code == "decoder_timeout":
        return Outcome(f"{when} {error.code}")
    assert isinstance(error, Transient)
    return Outcome("unexpected", fault=f"{error}; {error.__cause__!r}")
