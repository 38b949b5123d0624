"""Removes secrets from text that is about to be written: the net beneath code that writes none.

Two meshes. Values that this process was given (`register`) go wherever they stand, also URL-quoted. What only looks
like a secret goes by its form: JWTs, `sb_secret_…` keys, the password in a URL, the values of `token=`, `signature=`,
`Authorization:`, cookies and their like.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
MIN_LENGTH: Final = 8
"""Shorter values are no secrets, and would take half of the text with them."""

_QUOTE: Final = r"\\*[\"']"  # JSON inside JSON escapes its quotes
_REST: Final = r"[^\s\"'\\&,;<>{}()]+"
_HEADERS: Final = "(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api-?key"
_PARAMETERS: Final = "token|signature|sig|api_?key|access_key|secret|password|passwd|pwd|credential"
_FORMS: Final = (
    # A JWT, or what a limit on length has left of one.
    re.compile(r"()\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,2}"),
    re.compile(r"()\bsb_(?:secret|publishable)_[A-Za-z0-9_-]+"),
    # The user and the password of a URL.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/\"'\\<>@]+(?=@)", re.IGNORECASE),
    # Headers, as lines and in dicts or pairs: all of the value, to its end.
    re.compile(
        rf"(\b(?:{_HEADERS})(?:\s*:\s*|{_QUOTE}\s*[:,]\s*b?{_QUOTE}))[^\"'\\\r\n\s][^\"'\\\r\n]*",
        re.IGNORECASE,
    ),
    re.compile(rf"(\bbearer\s+){_REST}", re.IGNORECASE),
    # Parameters of signed URLs and of connection strings, and members of JSON.
    re.compile(
        rf"((?<![a-z])(?:{_PARAMETERS})(?:\s*=\s*|%3D|{_QUOTE}\s*[:,]\s*b?{_QUOTE})){_REST}",
        re.IGNORECASE,
    ),
)

_known: dict[str, None] = {}
_values: re.Pattern[str] | None = None


def register(*values: str | None) -> None:
    """Hide these values from now on, in every form in which they may be written; they are never forgotten."""
    global _values  # noqa: PLW0603 - one net for the whole process
    for value in values:
        if value is not None and len(value) >= MIN_LENGTH:
            _known.update(dict.fromkeys((value, quote(value, safe=""), quote_plus(value))))
    if _known:
        _values = re.compile("|".join(re.escape(value) for value in sorted(_known, key=len, reverse=True)))


def mask(text: str) -> str:
    """`text` without secrets."""
    if _values is not None:
        text = _values.sub(MASK, text)
    for form in _FORMS:
        text = form.sub(rf"\1{MASK}", text)
    return text


def masked(value: Any) -> Any:
    """`value`, made of what JSON knows, with every text in it masked."""
    match value:
        case str():
            return mask(value)
        case Mapping():
            return {name: masked(item) for name, item in value.items()}
        case list() | tuple():
            return [masked(item) for item in value]
        case _:
            return value
