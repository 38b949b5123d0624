"""A model hub on a real socket: the endpoints of `models pull`, with commits, hashes and refusals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")


@dataclass
class Repository:
    """Commits with their files, the last one current; or the status and code with which every request is refused."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    declared_size: int | None = None
    sent: dict[str, bytes] = field(default_factory=dict)
    """Replacements for the bytes of files."""

    @property
    def current(self) -> str:
        return list(self.commits)[-1]


@dataclass
class Hub:
    """`url` is the HF_ENDPOINT; `requests` are the methods and paths of all requests."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def downloads(self) -> list[str]:
        """Return the names of the fetched files."""
        return [line.rsplit("/", 1)[-1] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


@contextmanager
def serve() -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    Answer.hub = hub
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Answer(BaseHTTPRequestHandler):
    """Answers one request: /api/models/OWNER/NAME[/revision/R | /tree/R] or /OWNER/NAME/resolve/R/FILE."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        repository = self.hub.repositories.get("/".join(parts[:2]))
        if repository is None:
            return self._refuse(401, "RepoNotFound")
        if repository.refusal is not None:
            return self._refuse(*repository.refusal)
        revision = parts[3] if len(parts) > 3 else "main"
        commit = repository.current if revision == "main" else revision
        if commit not in repository.commits:
            return self._refuse(404, "RevisionNotFound")
        if parts[2:3] == ["resolve"]:
            return self._file(repository, commit, "/".join(parts[4:]))
        files = [self._entry(repository, name, content) for name, content in repository.commits[commit].items()]
        if parts[2:3] == ["tree"]:
            return self._json(files)
        siblings = [{"rfilename": f["path"], "blobId": f["oid"], "size": f["size"], "lfs": f["lfs"]} for f in files]
        return self._json({"id": "/".join(parts[:2]), "sha": commit, "siblings": siblings})

    def _entry(self, repository: Repository, name: str, content: bytes) -> dict[str, Any]:
        size = repository.declared_size or len(content)
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        sha256 = hashlib.sha256(content).hexdigest()
        lfs = {"oid": sha256, "sha256": sha256, "size": size, "pointerSize": 134} if name.endswith(LARGE) else None
        return {"type": "file", "path": name, "oid": blob, "size": size, "lfs": lfs}

    def _file(self, repository: Repository, commit: str, name: str) -> None:
        content = repository.commits[commit].get(name)
        if content is None:
            return self._refuse(404, "EntryNotFound")
        entry = self._entry(repository, name, content)
        tag = entry["lfs"]["sha256"] if entry["lfs"] else entry["oid"]
        return self._send(200, repository.sent.get(name, content), {"ETag": f'"{tag}"', "X-Repo-Commit": commit})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Do nothing: `requests` is the log."""
