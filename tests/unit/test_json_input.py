"""JSON from strangers: values that were read can be written and read again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_local_supabase.json_input import LARGEST_BIGINT, LEVELS, NotJson, bigint, parse_json, parse_outline


@pytest.mark.parametrize(
    "raw",
    [*("", "{", "{}{}", "NaN", "[Infinity]", "1e400", '"\n"'), "9" * 5000, b"\xff", b'"\xed\xa0\x80"', "[" * 10_000],
)
def test_what_nobody_else_could_read_is_refused(raw: str | bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(raw)


def test_levels_are_counted() -> None:
    deepest = "[" * LEVELS + "]" * LEVELS
    assert json.dumps(parse_json(deepest)) == deepest
    assert parse_json("[" + "[]," * 2 * LEVELS + "1]")[-1] == 1
    for deeper in (f"[{deepest}]", f'{{"a": {deepest}}}'):
        with pytest.raises(NotJson, match="more than 500 levels"):
            parse_json(deeper)


def test_halves_of_pairs_are_replaced() -> None:
    assert parse_json(r'{"\ud800": "\udc00\ud83d\ude00", "n": 12345678901234567890}') == {
        "\ufffd": "\ufffd😀",
        "n": 12345678901234567890,
    }


def test_an_outline_has_no_whole_numbers() -> None:
    assert parse_outline(f'{{"a": {"9" * 5000}, "b": 1.5}}') == {"a": None, "b": 1.5}


@given(st.recursive(st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_what_python_wrote_is_read_as_it_was(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.integers(min_value=0))
def test_a_bigint_is_the_number_or_the_largest(number: int) -> None:
    assert bigint(f"00{number}") == min(number, LARGEST_BIGINT)
    assert bigint("9" * 5000) == LARGEST_BIGINT
