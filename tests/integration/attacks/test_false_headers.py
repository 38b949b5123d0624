"""Sound with a false header: what is there is analyzed, or one sentence refuses it, in little memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel_worker.domain.media_facts import MediaLimits
from tests.fuzz.corpus import shared_corpus
from tests.integration.attacks.conftest import Attack
from tests.integration.attacks.false_headers import HEADERS
from tests.matrix import sampled

pytestmark = pytest.mark.asyncio(loop_scope="session")

LITTLE = replace(MediaLimits(), max_cpu_seconds=20, max_memory_bytes=512 * 1024**2)
"""Under these limits a slow or greedy child is refused too, but with another sentence."""
REFUSALS = ("media_unreadable", "media_truncated", "media_not_supported", "no_tracks", "media_too_long")
GREEDY = ("caf, 4 GHz", "caf, an infinite rate", "mpc7, a hundred million frames")
"""FFmpeg allocates a filter or a table of the promised size, which the child's memory limit refuses."""
SAMPLE = (
    *("au, a billion channels", "aiff, a rate that is no number", "caf alac, a billion packets", "w64, 4 GHz"),
    *("ape, a billion frames", "wavpack, a block of 4 G samples", "tta, a billion samples"),
    *("mpc7, a hundred million frames", "mpc8, 2^62 samples", "amr, 100,000 frames of a byte"),
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of every container and codec."""
    return shared_corpus(tmp_path_factory)


@pytest.mark.parametrize("name", sampled("media", HEADERS, SAMPLE))
async def test_a_false_header(attack: Attack, corpus: dict[str, bytes], name: str) -> None:
    content = HEADERS[name](corpus)
    assert content not in corpus.values()
    result = await attack(content, LITTLE)
    if result.error is None:
        assert result.facts is not None
        assert 0 < result.facts.duration_seconds <= LITTLE.max_duration_seconds
    else:
        allowed = (*REFUSALS, "media_too_large") if name in GREEDY else REFUSALS
        assert result.refusal[0] in allowed, result.refusal
