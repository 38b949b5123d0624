"""Storage's error responses: nearly all with HTTP 400 and the true status as a string in the body."""

from __future__ import annotations

import json

import psycopg
from starlette.responses import Response

from sentinel_local_supabase.json_answer import JSON_TYPE
from sentinel_local_supabase.tokens import TokenRefused

_NO_ROLE = "22023"
_ROW_SECURITY = "new row violates row-level security policy"


class StorageError(Exception):
    """Response in Storage's error shape: `status` is the body's; HTTP's is 400, except for 416 and 500."""

    def __init__(self, status: str, error: str, code: str, message: str) -> None:
        super().__init__(message)
        self.body = {"statusCode": status, "error": error, "message": message, "code": code}
        self.http_status = int(status) if status in ("416", "500") else 400

    def response(self, *, head: bool = False) -> Response:
        """Return the HTTP response; HEAD has no body, only its length."""
        body = json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Length": str(len(body)), "Content-Type": JSON_TYPE}
        return Response(b"" if head else body, self.http_status, headers)


def no_object() -> StorageError:
    """Return the error for an object that is absent or hidden by row security."""
    return StorageError("404", "not_found", "NoSuchKey", "Object not found")


def no_bucket() -> StorageError:
    """Return the error for an absent bucket (on some paths also for an unauthenticated caller)."""
    return StorageError("404", "Bucket not found", "NoSuchBucket", "Bucket not found")


def duplicate(code: str = "KeyAlreadyExists") -> StorageError:
    """Return the error for a name that already exists."""
    return StorageError("409", "Duplicate", code, "The resource already exists")


def too_large() -> StorageError:
    """Return the error for an object over the bucket's or the server's limit."""
    return StorageError("413", "Payload too large", "EntityTooLarge", "The object exceeded the maximum allowed size")


def invalid_request(message: str) -> StorageError:
    """Return the error for a request that the real server's JSON schemas refuse."""
    return StorageError("400", "Error", "InvalidRequest", message)


def left_out(what: str) -> StorageError:
    """Return Storage's "feature not enabled" for what the real server has and this one does not."""
    return StorageError("409", "FeatureNotEnabled", "FeatureNotEnabled", f"The local Supabase has no {what}")


def invalid_key(message: str) -> StorageError:
    """Return the error for an invalid object name."""
    return StorageError("400", "InvalidKey", "InvalidKey", f"Invalid key: {message}")


def bad_signature(message: str = "Invalid signature") -> StorageError:
    """Return the error for a signed URL's token that was made for something else."""
    return StorageError("400", "InvalidSignature", "InvalidSignature", message)


def internal() -> StorageError:
    """Return the error for a failure of this server."""
    return StorageError("500", "Internal", "InternalError", "Internal Server Error")


def denied(message: str) -> StorageError:
    """Return the error for a refused token or a missing right."""
    return StorageError("403", "Unauthorized", "AccessDenied", message)


def token_words(refused: TokenRefused) -> str:
    """Return the fault of a token in Storage's words."""
    return {
        "expired": '"exp" claim timestamp check failed',
        "not_yet_valid": '"nbf" claim timestamp check failed',
        "issued_later": '"iat" claim timestamp check failed (it should be in the past)',
        "signature": "signature verification failed",
        "algorithm": '"alg" (Algorithm) Header Parameter value not allowed',
        "unsecured": '"alg" (Algorithm) Header Parameter value not allowed',
    }.get(refused.fault, "Invalid Compact JWS")


def from_database(error: psycopg.Error) -> StorageError:
    """Return the error for a statement of the caller that PostgreSQL refused."""
    state, message = error.diag.sqlstate, error.diag.message_primary or ""
    if isinstance(error, psycopg.DataError) and state != _NO_ROLE:
        # NUL in text, or a number or time out of range; psycopg refuses some itself, without an SQLSTATE.
        return invalid_request(f"a value of the request means nothing to the database: {message or error}")
    if state is None or error.diag.severity_nonlocalized == "FATAL":
        return internal()
    if state == "42501":
        return denied(_ROW_SECURITY if message.startswith(_ROW_SECURITY) else message)
    if state == "23505":
        return duplicate()
    if state == "23503":
        return StorageError("404", "InvalidRequest", "InvalidRequest", "The related resource does not exist")
    return StorageError("500", "DatabaseError", "DatabaseError", f"database error, code: {state}")
