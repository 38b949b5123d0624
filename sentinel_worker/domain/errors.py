"""Errors that this package raises, and what each class means for the request.

```
SentinelError
├── Transient    the same work may succeed later: retry with backoff
├── Permanent    it can never succeed: the request fails at once
├── LeaseLost    another worker owns the request now: stop, write nothing
├── Cancelled    the owner asked to stop: finish as cancelled
├── Released     this worker stops: hand the request back, the attempt is refunded
└── Fatal        this worker cannot work at all: exit or stay degraded
```

A library's own exceptions are translated where that library is called, so the rest of the code sees only these. `code`
is stable, machine-readable and declared in `error_codes`; `message` is one plain sentence for the user and contains no
path, key or traceback.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from sentinel_worker.domain.error_codes import CODES, Kind


class SentinelError(Exception):
    """Base of every error that this package raises on purpose."""


class CodedError(SentinelError):
    """An error with a stable code and a sentence for people. A code that is not declared for the class is a bug."""

    kind: ClassVar[Kind]

    def __init__(self, code: str, message: str, *, params: Mapping[str, Any] | None = None) -> None:
        if not is_declared(code, type(self)):
            raise LookupError(f"error_codes declares no {self.kind} {code!r}")
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.params: dict[str, Any] = dict(params or {})


class Transient(CodedError):
    """Worth another attempt. `retry_after_seconds` is the delay that the server asked for, if any."""

    kind = "transient"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        params: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(code, message, params=params)
        self.retry_after_seconds = retry_after_seconds


class Permanent(CodedError):
    """No attempt can succeed: bad media, a missing object, a detector that does not exist."""

    kind = "permanent"


class Fatal(CodedError):
    """The worker itself is unusable: bad configuration, a rejected key, a checkpoint that does not load."""

    kind = "fatal"


class LeaseLost(SentinelError):
    """The fence is no longer current; nothing may be written for this attempt."""


class Cancelled(SentinelError):
    """The owner cancelled the request while it ran."""


class Released(SentinelError):
    """This worker is shutting down and hands the request back."""


def is_declared(code: str, cls: type[CodedError]) -> bool:
    """True if `error_codes` declares `code` for errors of `cls`."""
    return code in CODES and cls.kind in CODES[code].kinds
