"""A few hundred mutated files, always the same; `make fuzz` sends thousands of others."""

from pathlib import Path

import pytest

from tests.fuzz.campaign import run
from tests.fuzz.corpus import make_corpus
from tests.fuzz.mutations import mutated

SEED, FILES = 20, 300


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


def test_a_seed_repeats_its_files(corpus: dict[str, bytes]) -> None:
    assert mutated(corpus, SEED, 7) == mutated(corpus, SEED, 7)
    assert len({mutated(corpus, SEED, number)[1] for number in range(50)}) > 40
