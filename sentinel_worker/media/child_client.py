"""One decoding child as the worker sees it: questions, checked answers, and the error that its death means."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sentinel_worker.confine.layers import Layers
from sentinel_worker.domain.compute import too_slow
from sentinel_worker.domain.derived import Picture, PreviewLimits
from sentinel_worker.domain.errors import CodedError, Permanent, Transient
from sentinel_worker.domain.machine_errors import start_error
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, FaceSearch, MediaLimits, Skipped, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media import derived_protocol, protocol
from sentinel_worker.media.expected_clips import ExpectedClips, beyond_limits, check_values
from sentinel_worker.media.protocol import ProbedFacts, ProtocolError
from sentinel_worker.media.received_files import keep_file
from sentinel_worker.observe import cpu_clocks

_REAP_SECONDS: Final = 2.0
_WITH_PAYLOAD: Final = ("clip", "picture", "preview")
_MAX_DETAIL: Final = 4000
"""Characters of detail that an honest child sends at most; a header has room for a megabyte."""
_CRASHES: Final = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGABRT,
        signal.SIGSYS,
    }
)


class ChildProcess:
    """The zygote's reports about a child.

    `forked` holds its pid; `exited` its exit code (negative: a signal), or None if the zygote died first and took the
    child with it.
    """

    def __init__(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.connection: socket.socket | None = None
        self.forked: asyncio.Future[int] = loop.create_future()
        self.exited: asyncio.Future[int | None] = loop.create_future()
        self._cpu_seconds = 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds so far; after the end as the kernel counted them, or as last read if the zygote died first."""
        if self.forked.done() and self.forked.exception() is None and not self.exited.done():
            self._cpu_seconds = cpu_clocks.of_process(self.forked.result()) or self._cpu_seconds
        return self._cpu_seconds

    def note(self, event: Mapping[str, Any]) -> None:
        """Record an event from the zygote."""
        if event["event"] == "exited":
            self._cpu_seconds = event["cpu_seconds"]
            self._settle(event["code"])
        elif not self.forked.done():
            if event["event"] == "forked":
                self.forked.set_result(event["pid"])
            else:
                told = OSError(event.get("errno"), "The zygote cannot fork")
                self._refuse(
                    start_error(told) or Transient("decoder_lost", "The machine cannot start another decoder now.")
                )

    def lose(self) -> None:
        """Record that the zygote is gone."""
        self._refuse(lost())

    def _refuse(self, error: Transient) -> None:
        if not self.forked.done():
            self.forked.set_exception(error)
            self.forked.exception()  # retrieved here, in case nobody awaits it any more
        self._settle(None)

    def _settle(self, code: int | None) -> None:
        if not self.exited.done():
            self.exited.set_result(code)


def lost() -> Transient:
    """Return the error of a request whose child was lost through no fault of its file."""
    return Transient("decoder_lost", "The decoder was lost while it worked on this file.")


class Child:
    """A confined child with one open media file. It takes one call at a time, and none after an interrupted one.

    Each call may wait `limits.max_wall_seconds` for the child (the caller's own time between clips does not count),
    then raises `Transient('decoder_timeout')`. A child that dies raises `Permanent('media_unreadable')` for a crash,
    `Permanent('too_slow_to_analyze')` for its CPU limit, `Transient('decoder_lost')` otherwise. For problems with the
    file it raises the errors of `probe.open_media` and `decode.decode_clips`. `unreadable_frames` counts the damaged
    frames that were replaced in clips so far. `unheard_seconds` of sound could not be in any window.
    """

    def __init__(self, process: ChildProcess, directory: Path, limits: MediaLimits) -> None:
        assert process.connection is not None
        self._process = process
        self._connection = process.connection
        self._directory = directory
        self._limits = limits
        self._busy = False
        self.layers = Layers((), {})
        self.unreadable_frames = 0
        self.unheard_seconds = 0.0

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.forked.result()

    async def greet(self, limit_seconds: float) -> None:
        """Wait until the child reports that it is confined; `layers` names the walls."""
        clock = _Clock(limit_seconds)
        with self._call():
            self.layers = protocol.read_layers(await self._answer("confined", clock))

    async def probe(self) -> ProbedFacts:
        """Return the facts of the file; raises `Permanent` if it cannot or must not be analyzed."""
        clock = _Clock(self._limits.max_wall_seconds)
        with self._call():
            await self._ask({"ask": "probe"}, clock)
            facts = protocol.read_facts(await self._answer("facts", clock))
        if (what := beyond_limits(facts, self._limits)) is not None:
            raise Transient("decoder_failed", f"The decoder gave a {what} that it should have refused.")
        return facts

    def clips(
        self, windows: Sequence[Window], geometry: ClipGeometry, faces: FaceSearch | None = None
    ) -> AsyncGenerator[Clip | Skipped]:
        """Yield the clips of `windows`, in order of their last frames; a badly damaged window gives none.

        With `faces` a window gives a clip for each of its faces, the largest first, or is skipped.
        """
        question = protocol.clips_question(windows, geometry, faces)
        return self._stream(question, ExpectedClips.pictures(windows, geometry, faces))

    def sounds(self, windows: Sequence[Window], geometry: SoundGeometry) -> AsyncGenerator[Clip | Skipped]:
        """Yield the sound of `windows`, in order of their starts; silence is skipped, a damaged window gives
        nothing."""
        question = protocol.sounds_question(windows, geometry)
        return self._stream(question, ExpectedClips.sounds(windows, geometry))

    async def _stream(self, question: Mapping[str, Any], expected: ExpectedClips) -> AsyncGenerator[Clip | Skipped]:
        clock = _Clock(self._limits.max_wall_seconds)
        with self._call():
            await self._ask(question, clock)
            while (answer := await self._answer("clip", clock, "skipped", "end"))["answer"] != "end":
                taken = expected.take(answer)
                if isinstance(taken, Clip):
                    await self._fill(taken.values.data.cast("B"), clock)
                    check_values(taken)
                yield taken
            self.unreadable_frames += expected.unreadable_frames(answer)
            self.unheard_seconds = max(self.unheard_seconds, expected.unheard_seconds(answer))

    async def derive(self, wanted: Sequence[Picture], *, names: Sequence[str]) -> list[Path]:
        """Save the `wanted` pictures as WebP in the directory.

        `names` match `derived_protocol.DERIVED_NAME`; returns the files in that order. Raises `Transient('disk_full')`.
        """
        clock = _Clock(self._limits.max_wall_seconds)
        with self._call():
            await self._ask(derived_protocol.derive_question(wanted), clock)
            files = []
            for _, name in zip(wanted, names, strict=True):
                size = derived_protocol.picture_bytes(await self._answer("picture", clock))
                files.append(await self._kept(size, name, clock))
            return files

    async def preview(self, limits: PreviewLimits, *, name: str) -> Path:
        """Save a preview within `limits` as MP4 in the directory; only a child of the profile `preview` makes one.

        Raises `Transient('disk_full')`.
        """
        clock = _Clock(self._limits.max_wall_seconds)
        with self._call():
            await self._ask(derived_protocol.preview_question(limits), clock)
            size = derived_protocol.preview_bytes(await self._answer("preview", clock), limits)
            return await self._kept(size, name, clock)

    async def _kept(self, size: int, name: str, clock: _Clock) -> Path:
        """Save the payload of an answer."""
        content = bytearray(size)
        await self._fill(memoryview(content), clock)
        return await asyncio.to_thread(keep_file, content, self._directory, name)

    @property
    def takes_calls(self) -> bool:
        """True unless a call is running, or was interrupted by its caller or by an invalid answer."""
        return not self._busy

    @contextmanager
    def _call(self) -> Iterator[None]:
        if self._busy:
            raise RuntimeError("a decoding child takes one call at a time, and none after an interrupted one")
        self._busy = True
        try:
            yield
        except CodedError:
            self._busy = False
            raise
        except (ProtocolError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise Transient("decoder_failed", "The decoder gave an invalid answer.") from error
        self._busy = False

    async def _ask(self, question: Mapping[str, Any], clock: _Clock) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with clock:
                await loop.sock_sendall(self._connection, protocol.encode(question))
        except OSError:
            raise await self._cause_of_death() from None

    async def _answer(self, wanted: str, clock: _Clock, *others: str) -> dict[str, Any]:
        lengths = bytearray(protocol.LENGTHS.size)
        await self._fill(memoryview(lengths), clock)
        header_bytes, payload_bytes = protocol.decode_lengths(lengths)
        header = bytearray(header_bytes)
        await self._fill(memoryview(header), clock)
        answer = protocol.decode_header(header)
        if answer.get("answer") == "error":
            read = protocol.read_error if wanted == "confined" else protocol.read_error_of_media
            raise read(answer) from _told(answer)
        if answer.get("answer") not in (wanted, *others) or (payload_bytes and wanted not in _WITH_PAYLOAD):
            raise ProtocolError(f"the answer {answer.get('answer')!r} instead of {wanted!r}")
        answer["payload_bytes"] = payload_bytes
        return answer

    async def _fill(self, buffer: memoryview, clock: _Clock) -> None:
        loop, filled = asyncio.get_running_loop(), 0
        while filled < len(buffer):
            try:
                async with clock:
                    count = await loop.sock_recv_into(self._connection, buffer[filled:])
            except OSError:
                count = 0
            if count == 0:
                raise await self._cause_of_death()
            filled += count

    async def _cause_of_death(self) -> CodedError:
        await asyncio.wait([self._process.exited], timeout=_REAP_SECONDS)
        code = self._process.exited.result() if self._process.exited.done() else None
        if code is None or code >= 0:
            return lost()
        if -code == signal.SIGXCPU or self._process.cpu_seconds >= self._limits.max_cpu_seconds:
            return too_slow(self._process.cpu_seconds, limit_seconds=self._limits.max_cpu_seconds)
        if -code in _CRASHES:
            return Permanent("media_unreadable", "The decoder crashed on this file; it is probably damaged.")
        return lost()


class _Clock:
    """Time left for waiting; entered around every wait, so that the time in between does not count."""

    def __init__(self, seconds: float) -> None:
        self._left_seconds = seconds
        self._entered = 0.0
        self._timeout: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        self._entered = asyncio.get_running_loop().time()
        self._timeout = asyncio.timeout(self._left_seconds)
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc_info: Any) -> None:
        assert self._timeout is not None
        self._left_seconds = max(0.0, self._left_seconds - asyncio.get_running_loop().time() + self._entered)
        try:
            await self._timeout.__aexit__(*exc_info)
        except TimeoutError:
            raise Transient("decoder_timeout", "Decoding this file took too long.") from None


class ChildError(Exception):
    """Traceback of a child, as the cause of the request's error."""


def _told(answer: Mapping[str, Any]) -> ChildError | None:
    detail = answer.get("detail")
    return ChildError(detail[-_MAX_DETAIL:]) if isinstance(detail, str) else None
