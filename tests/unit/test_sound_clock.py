"""The own time of a sound track: what time stamps say about samples, and what they do not."""

import pytest

from sentinel_worker.media.sound.clock import SoundClock

FRAME = 0.02


def placed(clock: SoundClock, stamps: list[float | None]) -> list[float]:
    """Return where frames of 20 ms with these stamps begin."""
    begins = []
    for stamp in stamps:
        clock.pause_before(stamp)
        begins.append(round(clock.seconds, 3))
        clock.advance(FRAME)
    return begins


CONTINUOUS = [0.0, 0.02, 0.04, 0.06]


@pytest.mark.parametrize(
    "stamps",
    [
        [0.0, 0.02, 0.04, 0.06],
        [-0.05, -0.03, -0.01, 0.01],
        [40_000.0, 40_000.02, 40_000.04, 40_000.06],
        [0.0, 0.025, 0.038, 0.115],
        [None, None, None, None],
        [0.0, None, None, 0.06],
        [None, 7.0, 7.02, 7.04],
        [0.0, 0.0, 0.0, 0.0],
        [3.0, 3.02, 0.0, 0.02],
    ],
    ids=["exact", "before 0", "late", "jitter", "none", "few", "first unknown", "still", "anew"],
)
def test_samples_follow_each_other(stamps: list[float | None]) -> None:
    assert placed(SoundClock("matroska"), stamps) == CONTINUOUS


def test_a_stamp_far_ahead_of_the_samples_is_a_pause() -> None:
    clock = SoundClock("matroska")
    assert placed(clock, [5.0, 5.02, 8.04, 8.06]) == [0.0, 0.02, 3.04, 3.06]
    assert clock.pause_before(13.08) == pytest.approx(5.0)


def test_many_small_gaps_add_up_to_a_pause() -> None:
    begins = placed(SoundClock("mov"), [0.03 * number for number in range(100)])
    assert begins[-1] == pytest.approx(0.03 * 99, abs=0.1)


def test_stamps_that_stand_still_and_catch_up_show_no_pause() -> None:
    stamps: list[float | None] = [0.3 * (number // 15) for number in range(150)]
    assert placed(SoundClock("mov"), stamps) == [round(FRAME * number, 3) for number in range(150)]


def test_a_pause_after_stamps_began_anew() -> None:
    assert placed(SoundClock("matroska"), [9.0, 9.02, 0.0, 2.02]) == [0.0, 0.02, 0.04, 2.06]


@pytest.mark.parametrize("demuxer", ["mpegts", "mpeg"])
def test_a_long_jump_in_a_broadcast_is_a_splice(demuxer: str) -> None:
    assert placed(SoundClock(demuxer), [1.0, 1.02, 90_000.0, 90_000.02]) == CONTINUOUS
    assert placed(SoundClock(demuxer), [1.0, 1.02, 4.04]) == [0.0, 0.02, 3.04]


@pytest.mark.parametrize("demuxer", ["avi", "wav", "mp3", "aac", "flac"])
def test_stamps_that_the_demuxer_counted_itself_show_no_pause(demuxer: str) -> None:
    assert placed(SoundClock(demuxer), [0.0, 0.02, 5.0, 9.0]) == CONTINUOUS
