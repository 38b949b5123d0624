"""Kernels that grant less: `auto` takes what it gets, `require` names what is missing and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel_worker.confine.sandbox import REQUIRED
from tests.integration.media.films import Make

NAMESPACES = {"user_namespace", "network_namespace"}
DECODE = """
import asyncio, json, sys
from pathlib import Path
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.zygote import Zygote

async def main():
    media, zygote = Path(sys.argv[2]), Zygote(sandbox=sys.argv[1])
    try:
        await zygote.start()
    except Fatal as error:
        return {"code": error.code, "message": error.message}
    async with zygote.open(media, media.parent, MediaLimits()) as child:
        facts = await child.probe()
        layers = child.layers
    await zygote.stop()
    assert layers == zygote.layers
    return {"in_force": layers.in_force, "missing": dict(layers.missing), "frames": facts.frame_count}

print(json.dumps(asyncio.run(main())))
"""


def decode(refused: str, mode: str, media: Path) -> dict[str, object]:
    """Return the layers that a worker finds when it runs without these."""
    command = [sys.executable, "-m", "tests.integration.media.poor_kernel", refused]
    ran = subprocess.run(
        [*command, sys.executable, "-c", DECODE, mode, str(media)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


@pytest.mark.parametrize(
    ("refused", "missing"),
    [
        ("namespaces", NAMESPACES),
        ("landlock", {"landlock", "landlock_tcp", "landlock_scopes"}),
        pytest.param(
            "namespaces,landlock",
            {*NAMESPACES, "landlock", "landlock_tcp", "landlock_scopes"},
            marks=pytest.mark.matrix("media"),
        ),
    ],
)
def test_auto_takes_what_there_is(ramp: Make, refused: str, missing: set[str]) -> None:
    found = decode(refused, "auto", ramp("stride.mp4"))
    assert found["frames"] == 50
    assert set(dict(found["missing"])) >= missing  # type: ignore[call-overload]
    assert set(found["in_force"]) >= set(REQUIRED) - missing  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("namespaces", ["user_namespace, network_namespace (", "Operation not permitted", "Docker", "Restrict"]),
        ("landlock", ["landlock (Function not implemented", "Linux 5.13", "lsm="]),
    ],
)
def test_require_says_what_is_missing(ramp: Make, refused: str, said: list[str]) -> None:
    found = decode(refused, "require", ramp("stride.mp4"))
    assert found["code"] == "sandbox_unavailable"
    assert not [part for part in ("SENTINEL_SANDBOX=require", *said) if part not in str(found["message"])]
    assert str(found["message"]).endswith(").")


def command(name: str, mode: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `sentinel-worker` without namespaces and Landlock, and with a Supabase address where nothing listens."""
    settings = {
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_SECRET_KEY": "sb_secret_x",
        "SENTINEL_DETECTOR": "demo",
        "SENTINEL_DEVICE": "cpu",
        "SENTINEL_SANDBOX": mode,
        "SENTINEL_WORK_DIR": str(folder),
    }
    poor = [sys.executable, "-m", "tests.integration.media.poor_kernel", "namespaces,landlock"]
    return subprocess.run(
        [*poor, sys.executable, "-m", "sentinel_worker", name],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_daemon_does_not_start_without_a_required_layer(tmp_path: Path) -> None:
    """Supabase is not contacted before the layers are up."""
    ran = command("run", "require", tmp_path)
    last = json.loads(ran.stderr.splitlines()[-1])
    assert (ran.returncode, last["event"], last["error_code"]) == (2, "worker.broken", "sandbox_unavailable")
    for layer in ("user_namespace", "network_namespace", "landlock"):
        assert layer in last["error"]
    assert last["error"].endswith(").")
    assert not list(tmp_path.iterdir())


def test_check_prints_the_layers(tmp_path: Path) -> None:
    """It prints them before it calls Supabase, which is away (75). It exits with 2 if the daemon could not start."""
    ran = command("check", "auto", tmp_path)
    said = ran.stdout.splitlines()
    assert said[0].startswith("ok decoding children are confined by resource_limits, no_new_privileges, seccomp")
    for line, layer in zip(said[1:], ("user_namespace", "network_namespace", "landlock"), strict=False):
        assert line.startswith(f"missing {layer} (")
    assert said[-1].startswith("missing, but other layers cover it landlock_scopes (")
    assert ran.returncode == 75
    ran = command("check", "require", tmp_path)
    assert (ran.stdout, ran.returncode) == ("", 2)
    assert "SENTINEL_SANDBOX=require" in ran.stderr
