"""docs/reliability.md has a row for each scenario, and each row names tests that exist."""

import pytest

from tests.pages import assert_names_tests, rows

ROWS = rows("reliability.md", "scenario")
SCENARIOS = (
    "TCP reset while idle",
    "half-open TCP",
    "close 1000, 1001, 1012",
    "outage of minutes",
    "handshake 401, 403, 429, 500",
    "join timeout with a late reply",
    "join refused by rate limit",
    "system error after SUBSCRIBED",
    "token expiry",
    "12-hour rotation",
    "phx_error loop",
    "stale phx_close after a duplicate join",
    "heartbeats acknowledged, no events",
    "no heartbeat replies",
    "a callback that raises",
    "INSERT between SUBSCRIBED and ready",
    "INSERT during a disconnect",
    "duplicate and reordered events",
    "malformed, thin and 1.2 MB events",
    "the table leaves the publication and comes back",
    "PGRST001, PGRST002, PGRST003 storms",
    "a firewall takes an outcome for an attack and refuses it without a reason",
    "claim committed, response lost",
    "finish committed, response lost",
    "a worker is killed",
    "the kernel kills a worker for lack of memory",
    "memory runs out while files are decoded or posts fetched",
    "an allocation is refused",
    "lease stolen while the worker hangs",
    "download cut",
    "object replaced (etag)",
    "object deleted",
    "key rotation or revocation",
    "migration during work (PGRST202)",
    "SIGTERM in each stage",
    "disk full",
    "disk on which only small files fit",
    "no descriptors, in the worker or in the zygote",
    "work folder removed, or replaced",
    "no memory for a trial, no process, or no thread",
    "a full disk at the start",
    "no descriptors or processes at the start",
    "unexpected errors of five requests in a row, without an answer in between",
    "database restarted in each stage",
    "the log's disk is full, or its reader dies",
    "the reader of the log stops reading",
    "a signal at any stage of the start, or while the worker ends",
)


def test_every_scenario_has_a_row() -> None:
    assert set(SCENARIOS) <= set(ROWS)


@pytest.mark.parametrize("scenario", ROWS)
def test_every_row_names_tests_that_exist(scenario: str) -> None:
    assert_names_tests(ROWS[scenario])
