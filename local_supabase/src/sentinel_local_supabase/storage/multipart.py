"""Streaming multipart uploads: small fields first, then the bytes of one file, never whole in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

_FIELD_BYTES = 1 << 20


class MalformedUpload(Exception):
    """The body is not a multipart form, ends early, or has no file."""


@dataclass(slots=True)
class Part:
    """Headers of a part: field name, file name (None for a plain field), media type."""

    name: str = ""
    file_name: str | None = None
    media_type: str | None = None
    content: bytearray = field(default_factory=bytearray)

    @property
    def is_file(self) -> bool:
        """True if this part carries the object: clients send a file name or an empty field name."""
        return self.file_name is not None or self.name == ""


class UploadForm:
    """Reads `chunks` up to the file part; then `fields` and `file` are set, and `body()` yields the bytes."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedUpload("no boundary")
        self.fields: dict[str, str] = {}
        self.file: Part | None = None
        self._chunks = chunks
        self._pieces: deque[bytes] = deque()
        self._part = Part()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._complete = self._file_complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_end": self._finish,
            },
        )

    async def open(self) -> Part:
        """Read until the file part begins. Raises MalformedUpload."""
        while self.file is None:
            if not await self._advance():
                raise MalformedUpload("no file")
        return self.file

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises MalformedUpload if the form ends early."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._file_complete and self._complete:
                return
            if not await self._advance():
                raise MalformedUpload("the form ended early")

    async def _advance(self) -> bool:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            return False
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise MalformedUpload(str(error)) from error
        return True

    def _begin(self) -> None:
        self._part = Part()

    def _header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        if name == b"content-disposition":
            _, options = parse_options_header(value)
            self._part.name = options.get(b"name", b"").decode(errors="replace")
            if b"filename" in options:
                self._part.file_name = options[b"filename"].decode(errors="replace")
        elif name == b"content-type":
            self._part.media_type = value.decode(errors="replace")
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        if self._part.is_file and self.file is None:
            self.file = self._part

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is self.file:
            self._pieces.append(data[start:end])
            return
        self._part.content += data[start:end]
        if len(self._part.content) > _FIELD_BYTES:
            raise MalformedUpload("a field is too long")

    def _end(self) -> None:
        if self._part is self.file:
            self._file_complete = True
        elif not self._part.is_file:
            self.fields[self._part.name] = self._part.content.decode(errors="replace")

    def _finish(self) -> None:
        self._complete = True
