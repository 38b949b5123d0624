"""A few hundred mutated files, always the same; `make fuzz` sends thousands of others."""

from pathlib import Path

import pytest

from tests.fuzz.campaign import run
from tests.fuzz.corpus import make_corpus
from tests.fuzz.mutations import mutated

SEED, FILES = 20, 300
FINDINGS = {
    "a sound track that cannot be opened": (1, [192, 220]),
    "one frame, for a very short time": (1, [195]),
    "a film that can only be read from its start, and says no length": (2, [2145, 2164, 2378, 2433]),
}
"""What earlier runs found, mended since: seeds and numbers, of the corpus that FFmpeg 5.1 makes."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of every container and codec."""
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.timeout(600)
async def test_a_sample_of_mutated_files(
    corpus: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = await run(corpus, tmp_path, range(FILES), seed=SEED)
    with capsys.disabled():
        print("", *campaign.lines(), sep="\n")  # noqa: T201
    assert campaign.outcomes.total() == FILES
    assert not campaign.faults


@pytest.mark.parametrize("finding", FINDINGS)
async def test_findings_stay_mended(corpus: dict[str, bytes], tmp_path: Path, finding: str) -> None:
    seed, numbers = FINDINGS[finding]
    assert not (await run(corpus, tmp_path, numbers, seed=seed)).faults


def test_a_seed_repeats_its_files(corpus: dict[str, bytes]) -> None:
    assert mutated(corpus, SEED, 7) == mutated(corpus, SEED, 7)
    assert len({mutated(corpus, SEED, number)[1] for number in range(50)}) > 40
