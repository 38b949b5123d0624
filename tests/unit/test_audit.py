"""A known vulnerability fails the audit; an unreachable or ignorant service is reported and passes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from deploy import audit, lock


class Service(ThreadingHTTPServer):
    """Answers as OSV does: it knows vulnerabilities only of the packages in `known`."""

    known: dict[str, dict[str, Any]]
    asked: list[str]


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.server.asked.append(asked)
        body = json.dumps({"vulns": [self.server.known[asked]]} if asked in self.server.known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(("127.0.0.1", 0), Answer) as server:
        server.known, server.asked = {}, []
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(port: int, monkeypatch: pytest.MonkeyPatch) -> audit.Audit:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return audit.audit(["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{port}/v1/query"])


def test_a_known_vulnerability_fails_the_audit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}]
    affected = [{"package": {"name": "pillow", "ecosystem": "PyPI"}, "ranges": ranges}]
    service.known["pillow"] = {"schema_version": "1.0.0", "id": "GHSA-test-1", "affected": affected}
    found = ask(service.server_port, monkeypatch)
    version = next(entry.version for entry in lock.read(lock.DAEMON) if entry.name == "pillow")
    assert found.vulnerable == (f"pillow {version}: GHSA-test-1, fixed in 99.1",)
    assert not found.passes
    assert {"torch", "hatchling", "yt-dlp"} <= set(service.asked)
    assert found.lines()[-1] == f"Locked packages checked: {found.checked}; known vulnerabilities: 1."


def test_nothing_known_passes(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(service.server_port, monkeypatch)
    assert (found.passes, found.vulnerable) == (True, ())
    assert found.lines() == [f"Locked packages checked: {found.checked}; known vulnerabilities: 0."]
    assert found.checked > 80


def test_an_unreachable_service_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = ask(port, monkeypatch)
    assert found.passes
    assert not found.answered
    assert found.lines()[0].startswith("Not audited: ")


def test_a_package_that_the_registry_cannot_audit_is_reported() -> None:
    """pip-audit itself reports "No known vulnerabilities found" here."""
    skipped = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.20)"}
    found = audit.judge(json.dumps({"dependencies": [skipped]}), "No known vulnerabilities found", 0)
    assert found.passes
    assert found.lines()[0].startswith("Not audited: ")


def test_what_is_unknown_is_named_beside_what_was_checked() -> None:
    report = {
        "dependencies": [
            {"name": "idna", "skip_reason": "not found"},
            {"name": "h11", "version": "0.16.0", "vulns": []},
        ]
    }
    assert audit.judge(json.dumps(report), "", 0).lines() == [
        "Not checked, unknown to the service: idna.",
        "Locked packages checked: 1; known vulnerabilities: 0.",
    ]


def test_a_fault_of_the_audit_itself_fails() -> None:
    found = audit.judge("", "ERROR:pip_audit._cli:invalid requirements input: nowhere.lock", 1)
    assert not found.passes
    assert "invalid requirements input" in found.lines()[0]
