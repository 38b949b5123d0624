"""docs/threat-model.md has a row for each attack that must be tried, and each row names tests that exist."""

import pytest

from tests.pages import assert_names_tests, rows

ROWS = rows("threat-model.md", "attack", below="## Attacks tried")
ATTACKS = (
    "DASH manifest in bytes",
    "ffconcat neighbour",
    "HLS",
    "SVG",
    "XML bomb",
    "zip bomb",
    "PNG 50,000×50,000",
    "GIF with 100,000 frames",
    "MP4 that claims 10⁹ frames",
    "1 px × 30,000 px",
    "truncated at every 10 %",
    "endless HTTP body",
    "slow-loris body",
    "redirect to 169.254.169.254",
    "redirect to [::ffff:127.0.0.1]",
    "a name that rebinds",
    "decimal and octal IPs",
    "credentials in the URL",
    "a body in one-byte chunks",
    "flood of 103 heads",
    "an answer that is slow to mask",
    "tells long stories",
    "gzip bomb as a file",
    "gzip bomb over HTTP",
    "Content-Length lies",
    "connects",
    "opens a file outside",
    "closes the worker's folders",
    "datagram through a pair",
    "without Landlock",
    "fork bomb",
    "10 GB allocation",
    "endless loop",
    "write 100 GB",
    "a row whose JSON Python cannot read",
    "a child that lies about numbers",
    "an exception that nobody foresaw",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_has_a_row(attack: str) -> None:
    assert [row for row in ROWS if attack in row]


@pytest.mark.parametrize("attack", ROWS)
def test_every_row_names_tests_that_exist(attack: str) -> None:
    assert_names_tests(ROWS[attack])
