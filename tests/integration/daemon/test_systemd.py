"""The daemon as deploy/sentinel-worker.service starts it, by a real systemd in separate namespaces."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess
from tests.integration.daemon import systemd_probe
from tests.integration.daemon.conftest import START_SECONDS, User, Worker
from tests.waits import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a systemd"),
    pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="no systemd here"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here"),
]

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy" / "sentinel-worker.service"
BOOT = Path(__file__).with_name("boot_systemd.sh")
# A test lacks the account, the installation, the settings, the journal and the rest of the system. An
# interpreter may be in a home folder, and finds its library by its own path.
INSTEAD = """
[Unit]
DefaultDependencies=no
[Service]
User=nobody
EnvironmentFile=
EnvironmentFile=/run/out/settings
ExecStartPre={python} /run/code/tests/integration/daemon/systemd_probe.py
ExecStart=
ExecStart={python} -m sentinel_worker run
StandardOutput=append:/run/out/worker.log
StandardError=append:/run/out/worker.log
ProtectHome=tmpfs
BindReadOnlyPaths={base}
"""
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--cgroup")
ALLOWED = 7
"""The probe's first attempts succeed, the others are refused."""


@dataclass
class Booted:
    """A systemd instance and the unit's log in it."""

    process: asyncio.subprocess.Process
    log: Path

    def events(self) -> list[dict[str, object]]:
        return Worker(WorkerProcess({}), self.log).events() if self.log.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The unit as shipped, with a drop-in, and the targets that it names."""
    python = Path(sys.executable).resolve()
    units, out = tmp_path / "units", tmp_path / "out"
    (units / f"{UNIT.name}.d").mkdir(parents=True)
    out.mkdir()
    shutil.copy(UNIT, units)
    (units / f"{UNIT.name}.d" / "test.conf").write_text(INSTEAD.format(python=python, base=sys.base_prefix))
    for name in ("sysinit", "basic", "shutdown", "network-online"):
        (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    return tmp_path


def groups() -> list[Path]:
    """All control groups, where systemd makes its own, innermost first."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    places = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    return sorted((path.parent for place in places for path in place.rglob("cgroup.events")), reverse=True)


@pytest_asyncio.fixture(loop_scope="session")
async def booted(stack: Stack, folder: Path) -> AsyncIterator[Booted]:
    settings = {
        "SUPABASE_URL": stack.url,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "SENTINEL_DETECTOR": "demo",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": "/run/code:/run/site",
    }
    allowed = [*NAMESPACES, "true"]
    if await (await asyncio.create_subprocess_exec(*allowed, stderr=subprocess.DEVNULL)).wait() != 0:
        pytest.skip("systemd gets no namespaces here")
    settings_file = folder / "out" / "settings"
    settings_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    before = groups()
    with (folder / "boot.log").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *NAMESPACES,
            *("sh", str(BOOT), str(folder), sysconfig.get_path("purelib"), str(ROOT)),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        yield Booted(process, folder / "out" / "worker.log")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        settings_file.unlink()  # it holds a key, which a search of the tests' files for leaks would find
        left = [group for group in groups() if group not in before]
        still = "populated 1"
        await until(
            lambda: not any(still in (group / "cgroup.events").read_text() for group in left),
            what="its last process has ended",
        )
        for group in left:
            group.rmdir()


async def test_the_daemon_does_its_work_under_the_unit_and_can_do_little_else(
    booted: Booted, user: User, clips: dict[str, Path], folder: Path
) -> None:
    def is_ready() -> bool:
        assert booted.process.returncode is None, (folder / "boot.log").read_text()
        return "worker.ready" in {event["event"] for event in booted.events()}

    await until(is_ready, what="the worker is ready", limit_seconds=START_SECONDS, log=booted.log)
    [probe] = [event for event in booted.events() if event["event"] == "probe"]
    names = list(systemd_probe.ATTEMPTS)
    assert probe["refused"] == names[ALLOWED:]

    row = await user.answer(await user.ask(clips["carphone_pristine-tampered.mp4"]))
    assert (row["verdict"], row["error_code"]) == ("fake", None)
