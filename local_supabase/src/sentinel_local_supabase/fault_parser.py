"""Parser for `sentinel-worker dev --misbehave`: `SERVICE:KEY[=VALUE],…` becomes Faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.faults import Body, Faults, HttpFault, RealtimeFaults, Service

HTTP_KEYS = {
    "path": "path",
    "method": "method",
    "status": "status",
    "body": "body",
    "retry-after": "retry_after_seconds",
    "delay": "delay_seconds",
    "lose-answer": "lose_answer",
    "cut-after": "cut_after_bytes",
    "drip": "drip_bytes_per_second",
    "times": "times",
}
"""Key and field of HttpFault."""

REALTIME_KEYS = {field.name.replace("_", "-"): field.name for field in fields(RealtimeFaults)}
"""Key and field of RealtimeFaults."""

_ALL = "all"
_HTTP_SERVICES: tuple[Service, ...] = get_args(Service)
_SERVICES = (_ALL, *_HTTP_SERVICES, "realtime")


def read_faults(texts: Iterable[str]) -> Faults:
    """Parse all texts into one Faults; those for Realtime are merged.

    Raises LocalSupabaseError, which lists every mistake, one a line.
    """
    http: list[HttpFault] = []
    realtime: dict[str, Any] = {}
    said, mistakes = [], []
    for text in texts:
        try:
            service, rest = _split(text)
            if service == "realtime":
                realtime |= _read_values(rest, REALTIME_KEYS, get_type_hints(RealtimeFaults))
                said.append(text)
            else:
                http.append(_http_fault(service, rest))
        except ValueError as error:
            mistakes.append(f"--misbehave {text}: {error}")
    try:
        faults = Faults(tuple(http), _realtime_faults(realtime))
    except ValueError as error:
        mistakes.append(f"--misbehave {' --misbehave '.join(said)}: {error}")
    if mistakes:
        raise LocalSupabaseError("bad_faults", "\n".join(mistakes))
    return faults


def _split(text: str) -> tuple[str, str]:
    service, colon, rest = text.partition(":")
    if service not in _SERVICES:
        raise ValueError(f"unknown service {service!r}; known: {', '.join(_SERVICES)}")
    if not colon or not rest:
        raise ValueError(f"give a fault, for example {_example(service)}")
    return service, rest


def _http_fault(service: str, rest: str) -> HttpFault:
    values = _read_values(rest, HTTP_KEYS, get_type_hints(HttpFault))
    return HttpFault(**values, service=None if service == _ALL else service)  # type: ignore[arg-type]


def _realtime_faults(values: dict[str, Any]) -> RealtimeFaults:
    faults = RealtimeFaults(**values)
    if values and faults == RealtimeFaults():
        raise ValueError("nothing happens: give a value other than the default")
    return faults


def _example(service: str) -> str:
    return "realtime:lose-changes" if service == "realtime" else f"{service}:status=503,retry-after=7,times=3"


def _read_values(text: str, keys: dict[str, str], types: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in text.split(","):
        key, equals, value = word.partition("=")
        if key not in keys:
            raise ValueError(f"unknown key {key!r}; known: {', '.join(keys)}")
        if keys[key] in values:
            raise ValueError(f"{key} is given twice")
        values[keys[key]] = _read_value(key, value if equals else None, types[keys[key]])
    return values


def _read_value(key: str, value: str | None, wanted: Any) -> object:
    if wanted is bool:
        if value is not None:
            raise ValueError(f"{key} takes no value")
        return True
    if not value:
        raise ValueError(f"{key} needs a value")
    if wanted == Body:
        if value not in get_args(Body):
            raise ValueError(f"{key} must be one of {', '.join(get_args(Body))}")
        return value
    read, name = _number_of(wanted)
    try:
        return read(value)
    except ValueError:
        raise ValueError(f"{key} must be {name}, not {value!r}") from None


def _number_of(wanted: Any) -> tuple[Callable[[str], object], str]:
    kinds = {wanted, *get_args(wanted)}
    if int in kinds:
        return int, "a whole number"
    if float in kinds:
        return _seconds, "a number of seconds"
    return str, "a text"


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(value)
    return number
