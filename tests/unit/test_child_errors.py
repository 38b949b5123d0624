"""What a child says about its file is taken with care: it has seen media, and may be somebody else's by now."""

from typing import Any

from sentinel_worker.media.protocol import read_error


def test_params_are_a_few_short_plain_values() -> None:
    nested: Any = {}
    for _ in range(600):
        nested = {"deeper": nested}
    params = {"limit": 5, "found": "x" * 10_000, "nested": nested, "list": [1], **{f"n{i}": i for i in range(100)}}
    error = read_error({"class": "permanent", "code": "media_too_large", "message": "Too large.", "params": params})
    assert error.params["limit"] == 5
    assert len(error.params["found"]) == 500
    assert {"nested", "list"}.isdisjoint(error.params)
    assert len(error.params) <= 16
