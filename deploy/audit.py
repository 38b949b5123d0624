"""`make audit`: look for known vulnerabilities of the locked packages with pip-audit.

If the registry serves only packages, or the machine has no network, the audit says so and passes. pip-audit skips a
package that the service does not know and reports success; here it counts as not checked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy import lock

_AWAY: Final = re.compile(
    r"ConnectionError|Timeout|Max retries|could not connect|may be blocking|HTTPError", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Audit:
    """Findings. `vulnerable` are lines for people; `unchecked` are package names; `failure` is why there are none."""

    checked: int = 0
    vulnerable: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def answered(self) -> bool:
        """True if the service answered for at least one package."""
        return self.failure is None and self.checked > 0

    @property
    def passes(self) -> bool:
        """True if no vulnerability is known and pip-audit itself did not fail."""
        return self.failure is None and not self.vulnerable

    def lines(self) -> list[str]:
        """Return the result for people, worst first."""
        if self.failure is not None:
            return [f"pip-audit failed: {self.failure}"]
        if not self.answered:
            return ["Not audited: the vulnerability service is unreachable, or knows none of these packages."]
        unchecked = [f"Not checked, unknown to the service: {', '.join(self.unchecked)}."] if self.unchecked else []
        counts = f"Locked packages checked: {self.checked}; known vulnerabilities: {len(self.vulnerable)}."
        return [*self.vulnerable, *unchecked, counts]


def judge(report: str, errors: str, exit_code: int) -> Audit:
    """Combine pip-audit's JSON report, its standard error and its exit code."""
    if not report:
        if exit_code != 0 and not _AWAY.search(errors):
            last = errors.strip().splitlines()[-1:] or ["no reason given"]
            return Audit(failure=f"exit code {exit_code}, {last[0]}")
        return Audit()
    packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    checked = [package for package in packages if "skip_reason" not in package]
    return Audit(
        checked=len(checked),
        vulnerable=tuple(_line(package, each) for package in checked for each in package["vulns"]),
        unchecked=tuple(package["name"] for package in packages if "skip_reason" in package),
    )


def _line(package: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {mended}"


def audit(options: Sequence[str] = ()) -> Audit:
    """Audit the lock files; `options` are passed to pip-audit, for instance `--ignore-vuln ID`."""
    files = [lock.DAEMON, lock.CUDA, lock.BUILD]
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.lock"
        entry = lock.read(lock.DAEMON)[0]
        one.write_text(f"{entry.name}=={entry.version} --hash=sha256:{entry.hashes[0]}\n", encoding="utf-8")
        first = _run([one], options)  # do not send a hundred queries to a service that answers none
    return _run(files, options) if first.answered else first


def _run(files: Sequence[Path], options: Sequence[str]) -> Audit:
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"]
    command += [
        "--progress-spinner",
        "off",
        *options,
        *[word for file in files for word in ("--requirement", str(file))],
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return judge(ended.stdout, ended.stderr, ended.returncode)


if __name__ == "__main__":
    found = audit(sys.argv[1:])
    print("\n".join(found.lines()))
    sys.exit(0 if found.passes else 1)
