"""A track has one clock that starts at 0 and never runs back, whatever the container's stamps do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.media.films.film_times import FilmTimes
from sentinel_worker.media.scan.timeline import MISSING, Packets, rate_of, timeline_of

UNIT = 0.001


def packets(
    presentation: Sequence[int | None],
    decoding: Sequence[int | None] | None = None,
    duration: int | Sequence[int] = 40,
    key: Sequence[int] = (0,),
    hidden: Sequence[int] = (),
) -> Packets:
    """Packets in milliseconds; `key` and `hidden` name their numbers."""
    count = len(presentation)
    lasting = [duration] * count if isinstance(duration, int) else list(duration)
    return Packets(
        _stamps(presentation),
        _stamps(presentation if decoding is None else decoding),
        np.array(lasting, dtype=np.int64),
        np.isin(np.arange(count), key),
        np.isin(np.arange(count), hidden),
        np.full(count, 100, dtype=np.int32),
        UNIT,
    )


def _stamps(values: Sequence[int | None]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([MISSING if value is None else value for value in values], dtype=np.int64)


def starts(found: Packets, *, may_jump: bool = False) -> list[float]:
    return [round(float(start), 6) for start in timeline_of(found, may_jump=may_jump).starts]


def test_a_track_starts_at_its_first_packet() -> None:
    timeline = timeline_of(packets([40_000_000, 40_000_040, 40_000_080]), may_jump=True)
    assert timeline.begin_seconds == 40_000
    assert timeline.starts.round(6).tolist() == [0.0, 0.04, 0.08]
    assert timeline.duration_seconds == pytest.approx(0.12)


@pytest.mark.parametrize("may_jump", [False, True])
def test_a_recording_that_begins_anew_follows_the_one_before_it(may_jump: bool) -> None:
    timeline = timeline_of(packets([0, 500, 1000, 0, 500, 1000], duration=500), may_jump=may_jump)
    assert timeline.begins == (0, 3)
    assert timeline.starts.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert timeline.duration_seconds == 3.0


def test_a_jump_ahead_is_a_gap_except_where_stamps_may_jump() -> None:
    jumping = packets([0, 500, 95_443_000, 95_443_500], duration=500)
    assert starts(jumping, may_jump=True) == [0.0, 0.5, 1.0, 1.5]
    assert starts(jumping, may_jump=False)[-1] == 95_443.5


def test_a_picture_may_stay_for_seconds_where_stamps_may_jump() -> None:
    assert starts(packets([0, 40, 9_000]), may_jump=True) == [0.0, 0.04, 9.0]


def test_frames_out_of_order_are_no_break() -> None:
    reordered = packets([80, 200, 120, 160], decoding=[0, 40, 80, 120])
    assert timeline_of(reordered, may_jump=True).begins == (0,)
    assert starts(reordered) == [0.0, 0.12, 0.04, 0.08]


def test_missing_stamps_lie_between_their_neighbours() -> None:
    timeline = timeline_of(packets([0, None, None, 120, None], decoding=[None] * 5), may_jump=False)
    assert timeline.starts.round(6).tolist() == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert not timeline.has_stamps


def test_packets_without_any_stamp_follow_each_other() -> None:
    assert starts(packets([None] * 3, duration=[20, 60, 20])) == [0.0, 0.02, 0.08]


def test_without_durations_a_packet_lasts_until_the_next_one() -> None:
    assert timeline_of(packets([0, 40, 80], duration=0), may_jump=False).duration_seconds == pytest.approx(0.12)


def test_the_duration_of_a_reordered_packet_says_nothing_about_its_picture() -> None:
    # Durations belong to the decoding order: here the second packet waits ten seconds, and its picture does not.
    still = packets([0, 10_080, 10_040], decoding=[-80, -40, 10_000], duration=[40, 10_040, 40])
    # The last picture on screen gets the median distance of pictures, not its packet's ten seconds.
    assert timeline_of(still, may_jump=False).duration_seconds == pytest.approx(10.08 + (0.04 + 10.04) / 2)


def test_hidden_packets_are_not_in_the_track() -> None:
    timeline = timeline_of(packets([-40, 0, 40], hidden=[0]), may_jump=False)
    assert timeline.begin_seconds == 0
    assert timeline.duration_seconds == pytest.approx(0.08)


def test_a_film_starts_at_its_first_key_frame() -> None:
    film = FilmTimes.of(packets([0, 40, 80, 120], key=[2]), may_jump=False)
    assert film is not None
    assert film.numbers.tolist() == [2, 3]
    assert film.starts.round(6).tolist() == [0.0, 0.04]


def test_a_frame_is_decoded_from_the_last_key_before_it() -> None:
    # The packets after the second key include two that are shown before it (an open group of pictures).
    film = FilmTimes.of(
        packets([0, 40, 160, 80, 120, 200], decoding=[0, 40, 80, 120, 160, 200], key=[0, 2]), may_jump=False
    )
    assert film is not None
    assert film.numbers.tolist() == [0, 1, 3, 4, 2, 5]
    assert [film.key_before(number) for number in range(6)] == [0, 0, 2, 0, 0, 2]
    assert film.index_at(0.1) == 2
    assert film.index_at(-1) == 0
    assert film.index_at(99) == 5


def test_two_fields_make_one_frame() -> None:
    film = FilmTimes.of(packets([0, 20, 40, 60, 80, 100], duration=20), may_jump=False)
    assert film is not None
    assert film.thinned(0.04).starts.round(6).tolist() == [0.0, 0.04, 0.08]


def test_the_mean_rate_does_not_depend_on_how_long_the_last_frame_stays() -> None:
    even = np.arange(100) / 25
    assert rate_of(even, 4.0) == pytest.approx(25)
    assert rate_of(even, 90.0) == pytest.approx(25)
    assert rate_of(np.array([0.0]), 2.0) == 0.5


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**9)), min_size=1, max_size=40), st.booleans())
def test_any_stamps_give_a_clock_that_starts_at_zero(stamps: list[int | None], may_jump: bool) -> None:
    timeline = timeline_of(packets(stamps), may_jump=may_jump)
    assert timeline.starts.min() == 0
    assert (timeline.ends >= timeline.starts - 1e-9).all()
    assert timeline.duration_seconds == pytest.approx(timeline.ends.max())
    segments = np.split(timeline.starts, timeline.begins[1:])
    assert all(earlier.max() <= later.min() for earlier, later in pairwise(segments))


@pytest.mark.parametrize("may_jump", [False, True])
@pytest.mark.filterwarnings("error")
def test_stamps_at_the_ends_of_int64_are_counted(may_jump: bool) -> None:
    most = 2**63 - 1
    for stamps in ([-most, most, -most], [most, -most], [0, most, 0, -most], [None, most, None, -most]):
        timeline = timeline_of(packets(stamps, duration=most), may_jump=may_jump)
        assert np.isfinite(timeline.starts).all()
        assert np.isfinite(timeline.ends).all()
        assert timeline.duration_seconds >= 0
    assert timeline_of(packets([most, -most]), may_jump=False).begins == (0, 1)
    assert timeline_of(packets([-most, most]), may_jump=True).begins == (0, 1)
