"""Every file that people make is answered as it should be, through a real decoding child and the demo's detector."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.people.answers import Answerer, open_answerer
from tests.integration.people.cases import CASES
from tests.integration.people.expectations import differences
from tests.integration.people.studio import REAL, TAMPERED, Studio
from tests.matrix import sampled

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLE = [name for name, case in CASES.items() if not case.is_further]
"""Each promise once."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answerer(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> AsyncIterator[Answerer]:
    async with open_answerer(clips[REAL], tmp_path_factory.mktemp("work")) as opened:
        yield opened


@pytest.mark.parametrize("name", sampled("people", CASES, SAMPLE))
async def test_a_file_is_answered_as_it_should_be(
    answerer: Answerer, clips: dict[str, Path], tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    path = case.make(Studio(clips[REAL], clips[TAMPERED], tmp_path))
    found = await answerer.answer(path)
    assert differences(case.expected, found) == [], found
