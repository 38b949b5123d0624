"""Recognition of files that are not media: texts that would send a decoder elsewhere, archives, programs."""

from __future__ import annotations

import codecs
from typing import Final

# Looked up here, once: a confined child cannot load a codec.
_UTF_8, _UTF_16 = codecs.lookup("utf-8-sig"), codecs.lookup("utf-16")
_TEXT_BYTES: Final = 64
_SPACES: Final = "\t\n\v\f\r"

_REFUSED_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"PK\x03\x04", "an archive"),
    (b"PK\x05\x06", "an archive"),
    (b"Rar!\x1a\x07", "an archive"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ\x00", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"\x04\x22\x4d\x18", "an archive"),
    (b"\x1f\x9d", "an archive"),
    (b"LZIP", "an archive"),
    (b"MSCF", "an archive"),
    (b"!<arch>", "an archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"%PDF-", "a PDF document"),
)
_REFUSED_TEXT: Final[tuple[tuple[str, str], ...]] = (
    ("#extm3u", "an HLS playlist"),
    ("#extinf", "a playlist"),
    ("[playlist]", "a playlist"),
    ("[reference]", "a playlist"),
    ("# vobsub", "an index of subtitles"),
    ("ffconcat", "a concat script"),
    ("v=0", "an SDP description"),
    ("rtsptext", "a stream description"),
    ("<!doctype html", "a web page"),
    ("<html", "a web page"),
    ("<svg", "an SVG drawing"),
    ("<mpd", "a DASH manifest"),
    ("<smoothstreamingmedia", "a streaming manifest"),
    ("<smil", "a playlist"),
    ("<asx", "a playlist"),
    ("<compositionplaylist", "an IMF package"),
    ("{", "a JSON text"),
)


def describe(head: bytes) -> str:
    """Name the file's format, as the end of a sentence ("an archive", "a DASH manifest")."""
    for magic, name in _REFUSED_MAGIC:
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "an archive"
    text = _codec(head).decode(head, "ignore")[0].lstrip().lower()
    for start, name in _REFUSED_TEXT:
        if text.startswith(start):
            return name
    if text.startswith("<"):
        marks = (name for mark, name in _REFUSED_TEXT if mark.startswith("<") and mark in text)
        return next(marks, "an XML text")
    return "a text" if starts_as_text(head) else "an unknown format"


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
