"""A fixed sample of mutated files; `make fuzz` sends thousands of others."""

from pathlib import Path

import pytest

from sentinel_worker.media.zygote import Zygote
from tests.fuzz.campaign import Campaign, run, send
from tests.fuzz.corpus import shared_corpus
from tests.fuzz.mutations import mutated
from tests.matrix import sampled

SEED = 20
FINDINGS = {
    "a sound track that cannot be opened": (1, [192, 220]),
    "one frame, for a very short time": (1, [195]),
    "a film that can only be read from its start, and says no length": (2, [2145, 2164, 2378, 2433]),
}
"""Past findings, since fixed: seeds and file numbers, for the corpus that FFmpeg 5.1 makes, without `ADDED`."""
ADDED = {
    *("m1v mpeg1", "m2v mpeg2", "m2ts h264", "mpg mpeg1 behind junk", "ts h264 behind junk"),
    *("mov h264 behind other boxes", "w64", "aiff", "caf", "caf alac", "au", "ac3", "eac3", "wavpack", "tta"),
    *("amr", "amr, wide band", "ape", "mpc7", "mpc8", "mp3 behind tags and junk"),
}
"""Files that came into the corpus after the findings; with them, the same numbers would name other files."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of every container and codec."""
    return shared_corpus(tmp_path_factory)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("files", sampled("fuzz", [60, 300], [60]))
async def test_a_sample_of_mutated_files(
    corpus: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str], files: int
) -> None:
    campaign = await run(corpus, tmp_path, range(files), seed=SEED)
    with capsys.disabled():
        print("", *campaign.lines(), sep="\n")  # noqa: T201
    assert campaign.outcomes.total() == files
    assert not campaign.faults


async def test_findings_stay_fixed(corpus: dict[str, bytes], tmp_path: Path) -> None:
    assert set(corpus) > ADDED
    then = {name: content for name, content in corpus.items() if name not in ADDED}
    zygote = Zygote()
    await zygote.start()
    try:
        for finding, (seed, numbers) in FINDINGS.items():
            campaign = Campaign(seed)
            await send(campaign, then, tmp_path, numbers, zygote, at_once=2)
            assert campaign.outcomes.total() == len(numbers)
            assert not campaign.faults, finding
    finally:
        await zygote.stop()
    assert zygote.restarts == 0


def test_a_seed_repeats_its_files(corpus: dict[str, bytes]) -> None:
    assert mutated(corpus, SEED, 7) == mutated(corpus, SEED, 7)
    assert len({mutated(corpus, SEED, number)[1] for number in range(50)}) > 40
