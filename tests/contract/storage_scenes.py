"""Context of the recorded Storage calls: statements and uploads between them, and bodies kept only as hashes."""

from __future__ import annotations

import hashlib
import json
import random
import re

from tests.contract.replay import Exchange

USER = "11111111-1111-1111-1111-111111111111"
OWN_FOLDER = "bucket_id = 'jobs' and (storage.foldername(name))[1] = auth.uid()::text"
BEGINNING = f"""
do $$ begin
  if not exists (select from pg_roles where rolname = 'sentinel_worker') then
    create role sentinel_worker nologin;
  end if;
end $$;
grant sentinel_worker to authenticator, service_role;
grant usage on schema public, auth, storage to sentinel_worker;
create policy own on storage.objects for all to authenticated using ({OWN_FOLDER}) with check ({OWN_FOLDER});
"""
NEEDED = "on storage.objects to sentinel_worker"
STATEMENTS = {
    "worker: member only through authenticator; no grants: upload": "insert into storage.buckets (id, name) "
    "values ('wb', 'wb')",
    "worker: insert grant+policy only: upload": f"grant insert {NEEDED}; create policy w1 on storage.objects "
    "for insert to sentinel_worker with check (bucket_id = 'wb')",
    "worker: + select grant, no select policy: upload": f"grant select {NEEDED}",
    "worker: + update grant, no update policy: upsert": f"grant update {NEEDED}",
    "worker: + select policy: download": "create policy w2 on storage.objects for select to sentinel_worker "
    "using (bucket_id = 'wb')",
    "worker: + update policy: upsert": "create policy w3 on storage.objects for update to sentinel_worker "
    "using (bucket_id = 'wb')",
    "worker: delete with grant+policy": f"grant delete {NEEDED}; create policy w4 on storage.objects "
    "for delete to sentinel_worker using (bucket_id = 'wb')",
}
OUTAGE_BEGINS, OUTAGE_ENDS = "storage db down: download", "storage after db restart: download"
# The recorder kept only some request headers.
HEADERS = {
    "raw upload with x-metadata header": {"x-metadata": "eyJhIjogMX0="},
    "TUS2 defer-length create": {"upload-defer-length": "1"},
    # That server accepted 500 MiB, this one 2 GiB: the responses to one byte more are compared.
    "TUS create over global limit": {"upload-length": str(2 * 1024**3 + 1)},
}
_STANDARD_LIMIT = "That server limited uploads in one request to 50 MiB; the local one has a single limit of 2 GiB"
_BROKEN_RACE = (
    "It lists race1.txt with 400,000 bytes, because two uploads of 200,000 wrote into one file there, and race2.txt, "
    "whose uploads were not recorded; here each upload has its own file"
)
LEFT_OUT = {
    "standard upload 53 MB (> UPLOAD_FILE_SIZE_LIMIT_STANDARD 50 MiB)": _STANDARD_LIMIT,
    "list limit 2000": _BROKEN_RACE,
}

# Only hashes of the 20 MiB of random bytes were kept: these bytes replace them on both sides.
BIG = random.Random(20).randbytes(20 * 1024**2)
HASHES = {
    "3756909f99a723b0df617e9b427ca69e": hashlib.md5(BIG, usedforsecurity=False).hexdigest(),
    "06662f2122ce53270a5ad2a41768223f90536788877724901f99fcea2779d565": hashlib.sha256(BIG).hexdigest(),
}
_SIZED = re.compile(r"<(\d+) bytes (?:binary )?sha256=([0-9a-f]{64})>")
_FORM = """--{boundary}\r
Content-Disposition: form-data; name="cacheControl"\r
\r
3600\r
--{boundary}\r
Content-Disposition: form-data; name="file"; filename="{name}"\r
Content-Type: {media_type}\r
\r
"""


def content(exchange: Exchange) -> bytes | None:
    """Return the request's body, rebuilt if only size and hash were kept. Raises ValueError for a wrong guess."""
    sized = _SIZED.fullmatch(exchange.request_body) if isinstance(exchange.request_body, str) else None
    if sized is None:
        return exchange.content()
    body = _rebuilt(exchange, int(sized[1]), sized[2])
    random_bytes = "20MB" in exchange.label or exchange.label.startswith("TUS PATCH")
    if len(body) != int(sized[1]) or (not random_bytes and hashlib.sha256(body).hexdigest() != sized[2]):
        raise ValueError(f"{exchange.label}: its body was another")
    return body


def _rebuilt(exchange: Exchange, size: int, digest: str) -> bytes:
    kind, label = exchange.request_headers["content-type"], exchange.label
    if "boundary=" in kind:
        return _form(exchange, kind.partition("boundary=")[2], size)
    if label.startswith("remove"):
        count = int(label.split()[1])
        return json.dumps({"prefixes": [f"n{i}" for i in range(count)]}, separators=(",", ":")).encode()
    if label.startswith("race"):
        letters = (letter * size for letter in (b"0", b"1", b"2", b"3", b"4", b"5"))
        return next(body for body in letters if hashlib.sha256(body).hexdigest() == digest)
    if label.startswith("TUS"):
        start = int(exchange.request_headers["upload-offset"])
        return BIG[start : start + size]
    return BIG if "20MB" in label else b"a" * size


def _form(exchange: Exchange, boundary: str, size: int) -> bytes:
    name = exchange.path.rpartition("/")[2]
    media_type = "application/octet-stream" if name.endswith(".bin") else "text/plain"
    head = _FORM.format(boundary=boundary, name=name, media_type=media_type).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    file = BIG if name == "big.bin" else b"a" * (size - len(head) - len(tail))
    return head + file + tail
