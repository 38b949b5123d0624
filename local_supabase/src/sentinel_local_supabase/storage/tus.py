"""Wire format of resumable uploads, tus 1.0.0 as Supabase uses it: headers, ids, and errors in plain text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from sentinel_local_supabase.storage.access import check_key
from sentinel_local_supabase.storage.buckets import check_bucket_name

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration"
BODY_TYPE = "application/offset+octet-stream"
_TEXT = "text/plain;charset=UTF-8"
_NUMBER = re.compile(r"0|[1-9]\d*")
_METADATA_KEY = re.compile(r"[^\x20,\x80-\uffff]+")
_BASE64 = re.compile(r"[\dA-Za-z+/]*={0,2}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_IN_AN_ID = re.compile(r"[^0-9A-Za-z_-]")
_FORWARDED_HOST = re.compile(r'host="?([^";,]+)')
_FORWARDED_SCHEME = re.compile(r"proto=(https?)")

Metadata = dict[str, str | None]


class TusError(Exception):
    """Error response with a true HTTP status and a plain-text reason."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(body)
        self.status = status
        self.body = body

    def response(self, *, head: bool = False) -> Response:
        """Return the HTTP response; HEAD has no body, only its length."""
        headers = {"Tus-Resumable": VERSION, "Content-Type": _TEXT, "Content-Length": str(len(self.body.encode()))}
        return Response(b"" if head else self.body, self.status, headers)


def answer(status: int, headers: Mapping[str, str]) -> Response:
    """Return a response without a body."""
    kind = {} if status == 204 else {"Content-Type": _TEXT}  # noqa: PLR2004 - No Content has no type
    return Response(b"", status, {"Tus-Resumable": VERSION, **kind, **headers})


def not_found() -> TusError:
    """Return the error for an unknown upload."""
    return TusError(404, "The file for this url was not found\n")


def gone() -> TusError:
    """Return the error for an upload that has expired or whose file was removed."""
    return TusError(410, "The file for this url no longer exists\n")


def parse_metadata(text: str) -> Metadata:
    """Parse the header Upload-Metadata: comma-separated `key base64` pairs. Raises ValueError."""
    metadata: Metadata = {}
    for pair in text.split(","):
        key, *values = pair.split(" ")
        value = values[0] if values else ""
        well_formed = len(value) % 4 == 0 and _BASE64.fullmatch(value)
        if len(values) > 1 or key in metadata or not _METADATA_KEY.fullmatch(key) or not well_formed:
            raise ValueError("Metadata string is not valid")
        metadata[key] = base64.b64decode(value).decode(errors="replace") if value else None
    return metadata


def format_metadata(metadata: Metadata) -> str:
    """Serialize to the form that `parse_metadata` reads."""
    return ",".join(
        key if value is None else f"{key} {base64.b64encode(value.encode()).decode()}"
        for key, value in metadata.items()
    )


def check_headers(request: Request) -> None:
    """Check that a request is tus 1.0.0 and its headers are well-formed. Raises TusError."""
    if not request.headers.get("tus-resumable"):
        raise TusError(412, "Tus-Resumable Required\n")
    wrong = [
        name
        for name, is_valid in _VALID.items()
        if name in request.headers
        and not (name == "content-type" and request.method != "PATCH")
        and not is_valid(request.headers[name])
    ]
    if wrong:
        raise TusError(400, f"Invalid {' '.join(wrong)}\n")


def encode_id(bucket: str, name: str, version: str) -> str:
    """Return the last segment of an upload's URL."""
    return base64.urlsafe_b64encode(f"{bucket}/{name}/{version}".encode()).decode().rstrip("=")


def decode_id(segment: str) -> tuple[str, str, str]:
    """Return bucket, name and version (a uuid) of an upload's URL. Raises TusError, InvalidBucketName or InvalidKey."""
    cleaned = _NOT_IN_AN_ID.sub("", segment)
    if len(cleaned) % 4 == 1:
        cleaned = cleaned[:-1]
    text = base64.urlsafe_b64decode(cleaned + "=" * (-len(cleaned) % 4)).decode(errors="replace")
    bucket, *middle = text.split("/")
    if not middle:
        raise TusError(400, "Invalid upload id")
    *names, version = middle
    if not version:
        raise TusError(400, "Version not provided")
    name = "/".join(names)
    check_bucket_name(bucket)
    check_key(name)
    if _UUID.fullmatch(version) is None:
        raise not_found()
    return bucket, name, version


def location(request: Request, upload_id: str) -> str:
    """Return the URL of an upload under the client's address for this server, which proxies forward."""
    headers = request.headers
    forwarded = headers.get("forwarded", "")
    found_host, found_scheme = _FORWARDED_HOST.search(forwarded), _FORWARDED_SCHEME.search(forwarded)
    host = found_host[1] if found_host else headers.get("x-forwarded-host") or headers.get("host", "")
    scheme = found_scheme[1] if found_scheme else headers.get("x-forwarded-proto") or "http"
    port = headers.get("x-forwarded-port")
    if "x-forwarded-host" in headers and port and port not in ("80", "443"):
        host = re.sub(r":\d+$", "", host) + f":{port}"
    prefix = headers.get("x-forwarded-prefix", "").rstrip("/")
    return f"{scheme}://{host}{prefix}{request.url.path.rstrip('/')}/{upload_id}"


def _is_metadata(text: str) -> bool:
    try:
        parse_metadata(text)
    except (ValueError, binascii.Error):
        return False
    return True


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


_VALID: dict[str, Callable[[str], bool]] = {
    "content-type": lambda text: text == BODY_TYPE,
    "tus-resumable": lambda text: text == VERSION,
    "upload-concat": lambda text: text == "partial" or text.startswith("final;"),
    "upload-defer-length": lambda text: text == "1",
    "upload-length": _is_number,
    "upload-metadata": _is_metadata,
    "upload-offset": _is_number,
    "x-forwarded-proto": lambda text: text in ("http", "https"),
}
