"""The systemd unit: its score, as in docs/operations.md, and its agreement with the daemon's settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sentinel_worker.config.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "sentinel-worker.service"
LINES = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Z]\w+=", line)]


def values(name: str) -> list[str]:
    return [value for key, _, value in (line.partition("=") for line in LINES) if key == name]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_score_is_the_one_that_the_docs_name() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [(promised, version)] = re.findall(
        r"`systemd-analyze security` gives it \*\*(\d\.\d)\*\* of 10 \(less is better; systemd (\d+)\)", page
    )
    here = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout.split()[
        1
    ]
    if here != version:
        pytest.skip(f"systemd {here} scores differently from {version}, the version in the docs")
    threshold = str(round(float(promised) * 10))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={threshold}", str(UNIT)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"Overall exposure level for {UNIT.name}: {promised}" in asked.stdout, asked.stderr or asked.stdout[-200:]
    assert asked.returncode == 0, asked.stderr


def test_systemd_waits_for_the_drain() -> None:
    [stop] = values("TimeoutStopSec")
    assert int(stop) >= Settings.model_fields["drain_seconds"].default + 40


def test_a_child_that_the_kernel_kills_when_memory_runs_out_does_not_end_the_service() -> None:
    assert values("OOMPolicy") == ["continue"]


def test_what_confines_the_children_is_let_through() -> None:
    assert values("RestrictNamespaces") == ["user net ipc"]
    added = {name for line in values("SystemCallFilter") for name in line.split()}
    assert {"capset", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= added
    assert not values("MemoryDenyWriteExecute")


def test_weights_are_not_for_the_daemon_to_write() -> None:
    [environment] = values("Environment")
    settings = dict(pair.split("=") for pair in environment.split())
    written = [f"/var/cache/{name}" for name in values("CacheDirectory")]
    assert values("ProtectSystem") == ["strict"]
    assert values("ProtectHome") == ["yes"]
    assert not values("ReadWritePaths")
    assert settings["HF_HOME"] == "/var/lib/sentinel-worker"
    assert settings["HOME"] in written
    assert settings["HF_MODULES_CACHE"].startswith(tuple(written))
