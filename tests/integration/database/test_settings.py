"""Settings of the queue: invalid values and unknown names are refused, and docs/settings.md lists each setting."""

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.database.queue_client import Queue

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
SET = "update sentinel.settings set value = %s where name = %s"


def test_each_setting_is_on_the_page_with_its_default_and_range(refusing: Queue) -> None:
    rows = refusing.sql("select s.*, sentinel.allowed_values(s) as allowed from sentinel.settings s order by name")
    text = PAGE.read_text(encoding="utf-8").partition("## Settings of the queue")[2]
    found = re.findall(r"^\| `(\w+)` \| `?(\w+)`? \| ([^|]+) \|", text, re.MULTILINE)
    assert sorted(found) == [(row["name"], json.dumps(row["initial"]), row["allowed"]) for row in rows]
    assert [row["name"] for row in rows if row["value"] != row["initial"]] == []
    for row in rows:
        numeric = row["kind"] in ("whole", "number") and row["low"] <= row["high"]
        assert numeric or (row["kind"], row["low"], row["high"], row["optional"]) == ("switch", None, None, False)
    allowed = refusing.sql("select bool_and(sentinel.setting_allows(s, s.initial)) as allowed from sentinel.settings s")
    assert allowed == [{"allowed": True}]


@pytest.mark.parametrize("value", ["many", [], {}, -5, True, "50", 1e300, 2.5])
def test_a_value_of_another_kind_or_out_of_range_is_refused(refusing: Queue, value: Any) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refusal:
        refusing.sql(SET, json.dumps(value), "max_open_requests")
    said = refusal.value.diag
    assert (said.message_primary or "").startswith(
        "max_open_requests must be a whole number from 0 to 1000000000, or null for no limit, not "
    )
    assert said.message_hint == (
        "Its default: update sentinel.settings set value = '200' where name = 'max_open_requests'"
    )


def test_what_has_to_be_a_number_cannot_be_off(limited: Queue) -> None:
    for name in ("lane_grace_seconds", "worker_alive_seconds", "max_crashes", "prune_rows"):
        for value in ("null", None):
            with pytest.raises(psycopg.errors.CheckViolation, match=rf"^{name} must be a [a-z ]+ from \d+ to \d+, not"):
                limited.sql(SET, value, name)
    with pytest.raises(
        psycopg.errors.CheckViolation, match=r"^keep_requests_days must be a number from 1 to 36500, or"
    ):
        limited.sql(SET, "0", "keep_requests_days")
    limited.sql(SET, "0.5", "lane_grace_seconds")
    limited.sql(SET, None, "max_open_requests")
    assert limited.sql("select value from sentinel.settings where name = 'max_open_requests'") == [{"value": None}]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("max_open", "max_open_requests"),
        ("max_stored_byte", "max_stored_bytes"),
        ("Max_Open_Requests", "max_open_requests"),
        ("keep_request_days", "keep_requests_days"),
        ("lane_grace_secs", "lane_grace_seconds"),
        ("retries_per_hour", "max_retries_per_hour"),
        ("crashes", "max_crashes"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(refusing: Queue, wrong: str, right: str) -> None:
    update = f"update sentinel.settings set value = '5' where name = '{wrong}'"  # noqa: S608
    insert = f"insert into sentinel.settings (name, value) values ('{wrong}', '5')"  # noqa: S608
    for statement in (update, insert):
        with pytest.raises(psycopg.errors.CheckViolation, match=f"There is no setting named {wrong}") as refusal:
            refusing.connection.execute(statement.encode())
        assert (refusal.value.diag.message_hint or "").startswith(f"Did you mean {right}?")


def test_an_update_that_finds_a_setting_as_it_is_is_not_refused(refusing: Queue) -> None:
    refusing.sql("update sentinel.settings set value = '20' where name = 'max_retries_per_hour' and value <> '20'")
    refusing.sql("update sentinel.settings set value = '20' where name = %s", "nothing_known_of_parameters")


def test_an_upsert_of_a_known_name_sets_it(limited: Queue) -> None:
    upsert = (
        "insert into sentinel.settings (name, value) values ('max_open_requests', %s)"
        " on conflict (name) do update set value = excluded.value returning value, kind, high"
    )
    assert limited.sql(upsert, "7") == [{"value": 7, "kind": "whole", "high": 1_000_000_000}]
    with pytest.raises(psycopg.errors.CheckViolation, match="must be a whole number"):
        limited.sql(upsert, "-7")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("delete from sentinel.settings where name = 'max_crashes'", "A setting cannot be removed"),
        ("truncate sentinel.settings", "A setting cannot be removed"),
        ("update sentinel.settings set name = 'other' where name = 'max_crashes'", "Only value and note of"),
        ("update sentinel.settings set high = 1e9 where name = 'max_crashes'", "Only value and note of"),
        ("update sentinel.settings set value = '-7'", "must be"),
    ],
)
def test_settings_stay_what_they_are(refusing: Queue, statement: str, sentence: str) -> None:
    before = refusing.sql("select * from sentinel.settings order by name")
    with pytest.raises(psycopg.errors.CheckViolation, match=sentence):
        refusing.connection.execute(statement.encode())
    assert refusing.sql("select * from sentinel.settings order by name") == before


def test_a_switch_is_true_or_false(disposable: Queue) -> None:
    disposable.sql("alter table sentinel.settings disable trigger settings_check")
    disposable.sql(
        "insert into sentinel.settings values ('lights', 'true', 'true', 'switch', null, null, false, 'On.')"
    )
    disposable.sql("alter table sentinel.settings enable trigger settings_check")
    disposable.sql(SET, "false", "lights")
    for value in ("null", "0", '"off"', "1"):
        with pytest.raises(psycopg.errors.CheckViolation, match=r"^lights must be true or false, not "):
            disposable.sql(SET, value, "lights")
