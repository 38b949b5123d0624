"""Recognition of files that are not media: texts that would send a decoder elsewhere, archives, programs."""

from __future__ import annotations

import codecs
import re
from typing import Final

from sentinel_worker.media.containers.named_formats import MAGICS, SUBTITLES, TEXTS

UNKNOWN: Final = "an unknown format"
"""The description of a file that nothing here recognizes."""

# Looked up here, once: a confined child cannot load a codec.
_UTF_8, _UTF_16 = codecs.lookup("utf-8-sig"), codecs.lookup("utf-16")
_TEXT_BYTES: Final = 64
_SPACES: Final = "\t\n\v\f\r"
# SubRip and MicroDVD have no first word.
_CUE: Final = re.compile(r"\d+\s+\d+:\d\d:\d\d[,.]\d+ *-->|\{\d+\}\{\d*\}")
_PATTERNS: Final = (
    (re.compile(rb"P[1-7F]\s+(#|\d|WIDTH)"), "a PNM picture, which is not supported"),
    # A length, a kind, no table of colours (five zeros), a place, width, height, bits per pixel.
    (
        re.compile(
            rb".\x00[\x02\x03\x0a\x0b]\x00{5}.{4}(?!\x00\x00)..(?!\x00\x00)..[\x08\x10\x18\x20][\x00-\x3f]", re.DOTALL
        ),
        "a Targa picture, which is not supported",
    ),
)
"""Formats without a first word of their own."""


def describe(head: bytes) -> str:
    """Name the file's format, as the end of a sentence ("an archive", "a DASH manifest")."""
    is_text = starts_as_text(head)
    for pattern, name in _PATTERNS:
        if pattern.match(head):
            return name
    for offset, magic, name in MAGICS:
        # Letters at the start of a text are a word.
        if head.startswith(magic, offset) and (offset or not is_text):
            return name
    text = _codec(head).decode(head, "ignore")[0].lstrip().lower()
    if _CUE.match(text):
        return SUBTITLES
    for start, name in TEXTS:
        if text.startswith(start):
            return name
    if text.startswith("<"):
        marks = (name for mark, name in TEXTS if mark.startswith("<") and mark in text)
        return next(marks, "an XML text")
    return "a text" if is_text else UNKNOWN


def starts_as_text(head: bytes) -> bool:
    """True if the file reads as text from its start, in UTF-8 or with a byte order mark of UTF-16.

    Within these bytes a container has one that no text has (a zero in a length, an invalid character). No parser of
    manifests accepts a text that contains it.
    """
    decoder = _codec(head).incrementaldecoder()  # a character may be cut in two at the end
    try:
        text = decoder.decode(head[:_TEXT_BYTES])
    except UnicodeDecodeError:
        return False
    return bool(text) and not any(character < " " and character not in _SPACES for character in text)


def _codec(head: bytes) -> codecs.CodecInfo:
    return _UTF_16 if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else _UTF_8
