"""The numbers of system calls, checked against the kernel's headers where they are installed."""

import re
from pathlib import Path

import pytest

from sentinel_worker.confine import seccomp, system_calls
from sentinel_worker.confine.layers import Limits, Walls

HEADERS = {
    "x86_64": (0, "x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": (1, "asm-generic/unistd.h"),  # aarch64 has the generic numbers
}
TABLES = {name: getattr(system_calls, name) for name in ("DECODING", "REFUSED", "SOCKETS", "PROGRAMS", "BY_ARGUMENT")}
DEFINED = re.compile(r"^#define __NR(?:3264)?_(\w+)\s+(\w+)", re.MULTILINE)
# The headers are Debian 12's or later; these came with a later kernel, or depend on the architecture.
MAY_BE_UNKNOWN = {"memfd_secret", "fchmodat2", "setxattrat", "removexattrat", "file_setattr"}


def numbers_in(header: str) -> dict[str, int]:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"{path} is not installed (Debian: linux-libc-dev)")
    defined = DEFINED.findall(path.read_text("utf-8"))
    numbers = {name: int(value) for name, value in defined if value.isdigit()}
    targets = {name: value.removeprefix("__NR3264_") for name, value in defined if not value.isdigit()}
    return {name: numbers[target] for name, target in targets.items() if target in numbers} | numbers


@pytest.mark.parametrize("architecture", HEADERS)
def test_every_number_is_the_kernels(architecture: str) -> None:
    column, header = HEADERS[architecture]
    known = numbers_in(header)
    ours = {call: numbers[column] for table in TABLES.values() for call, numbers in table.items()}
    wrong = {
        call: (number, known.get(call, -1))
        for call, number in ours.items()
        if number != known.get(call, -1) and not (call in MAY_BE_UNKNOWN and call not in known)
    }
    assert not wrong
    assert len(ours) > 150


def test_a_call_is_in_one_table() -> None:
    names = [call for table in TABLES.values() for call in table]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("network", ["none", "own_namespace"])
@pytest.mark.parametrize("may_fork", [False, True])
def test_a_filter_fits_and_jumps_inside_itself(column: int, network: str, may_fork: bool) -> None:
    walls = Walls(Path("/"), Limits(1, 1), network=network, may_fork=may_fork)  # type: ignore[arg-type]
    program = seccomp._program(walls, column, 0xC000003E)
    assert len(program) < 4096  # the kernel's limit
    assert program[-1][0] == seccomp._RETURN
    for place, instruction in enumerate(program):
        assert place + max(instruction[2], instruction[3]) < len(program)
