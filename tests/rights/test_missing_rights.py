"""Each right of a worker is revoked in turn: the worker names it and what to run, and running that restores it."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from sentinel_local_supabase.stack import Stack
from sentinel_worker import cli
from sentinel_worker.commands import check as command
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Fatal
from tests.rights.missing import TAKEN, Taken, worker_token
from tests.stacks import stack_at

pytestmark = pytest.mark.asyncio(loop_scope="session")
NAMED = {taken.right: taken for taken in TAKEN}
ROOT = Path(__file__).parents[2]
WHAT_TO_RUN = re.compile(r": run ((?:grant|create policy) [^\n]+?)(?: \(HTTP[^\n]*)?$", re.MULTILINE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack_at(tmp_path_factory.mktemp("taken") / "supabase", pace="fast") as running:
        yield running


def settings_of(stack: Stack, taken: Taken | None = None) -> Settings:
    key = taken.key if taken is not None and taken.key is not None else stack.publishable_key
    return Settings.model_validate(
        {
            "SUPABASE_URL": stack.url,
            "SUPABASE_SECRET_KEY": None,
            "SUPABASE_PUBLISHABLE_KEY": key,
            "worker_jwt": worker_token(stack, taken),
        }
    )


def execute(stack: Stack, statements: str, *, by_superuser: bool = False) -> None:
    with psycopg.connect(stack.superuser_dsn if by_superuser else stack.dsn, autocommit=True) as connection:
        for statement in statements.split("; "):
            connection.execute(statement.encode())


@contextmanager
def without(stack: Stack, taken: Taken) -> Iterator[None]:
    """Revoke the right inside the block, and restore it afterwards."""
    if taken.take:
        execute(stack, taken.take, by_superuser=taken.by_superuser)
    try:
        yield
    finally:
        if taken.give:
            with psycopg.connect(stack.dsn, autocommit=True) as connection:
                connection.execute("notify pgrst, 'reload schema'")
            if taken.give.startswith("create"):
                execute(stack, taken.take.replace("drop policy", "drop policy if exists"))
            execute(stack, taken.give, by_superuser=taken.by_superuser)


async def said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[str, bool]:
    """Return the output of `sentinel-worker check`, and True if a worker could start."""
    try:
        await command.check(settings)
    except Fatal as error:
        return capsys.readouterr().out + error.message, False
    return capsys.readouterr().out, True


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: taken.right)
async def test_the_missing_right_is_named_and_what_is_printed_fixes_it(
    stack: Stack, taken: Taken, capsys: pytest.CaptureFixture[str]
) -> None:
    with without(stack, taken):
        printed, starts = await said(settings_of(stack, taken), capsys)
        assert taken.sentence in printed
        assert starts is not taken.needed
        fine = (f"ok {stack.url} grants sentinel_worker every right of a worker\n", True)
        for _ in range(2 if taken.take else 0):  # one refusal can hide another
            for statement in WHAT_TO_RUN.findall(printed):
                execute(stack, statement, by_superuser=taken.by_superuser)
            printed, starts = await said(settings_of(stack), capsys)
        assert not taken.take or (printed, starts) == fine


async def test_a_secret_key_lacks_nothing(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.model_validate({"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.secret_key})
    printed, starts = await said(settings, capsys)
    assert (printed, starts) == (f"ok {stack.url} grants service_role every right of a worker\n", True)


def worker_environment(stack: Stack) -> dict[str, str]:
    return {
        "SUPABASE_URL": stack.url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SENTINEL_WORKER_JWT": worker_token(stack),
    }


def after_layers(printed: str) -> str:
    """Return the command's output after the first line, which is about this machine."""
    layers, rest = printed.split("\n", 1)
    assert layers.startswith("ok decoding children are confined by ")
    return rest


async def test_the_command_reports_it_and_its_exit_code_too(stack: Stack) -> None:
    taken = NAMED["EXECUTE on `sentinel_deletions`"]
    with without(stack, taken):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sentinel_worker", "check"),
            cwd=ROOT,
            env=worker_environment(stack),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert after_layers(printed) == f"missing, but the worker runs without it {taken.sentence}\n"


async def test_the_exit_codes_of_all_and_of_too_little(stack: Stack) -> None:
    async def run() -> Result:
        # It has its own event loop.
        return await asyncio.to_thread(CliRunner(env=worker_environment(stack)).invoke, cli.app, ["check"])

    assert (await run()).exit_code == 0
    with without(stack, taken := NAMED["EXECUTE on `sentinel_claim`"]):
        ended = await run()
    assert ended.exit_code == 2
    assert after_layers(ended.output).splitlines() == [
        f"missing {taken.sentence}",
        "error 1 of the rights that every request needs are missing.",
    ]
