"""All rights and who has them. Everything not listed here must be refused; see docs/rights.md.

A cell holds letters: an upper-case letter covers every row, a lower-case one only the caller's own rows.
"""

ROLES = ("anon", "user A", "user B", "sentinel_worker", "service_role", "admin")

Cells = tuple[str, str, str, str, str, str]

LETTERS = {
    "S": "select",
    "I": "insert",
    "U": "update",
    "D": "delete",
    "T": "truncate",
    "R": "reference by a foreign key",
    "G": "create a trigger",
    "M": "maintain",
    "X": "execute a function, or use a schema",
    "C": "create objects in a schema",
}

_CLOSED: Cells = ("", "", "", "", "", "X")
_CLOSED_TABLE: Cells = ("", "", "", "", "", "SDTRGM")
_CLOSED_VIEW: Cells = ("", "", "", "", "", "S")
_CLOSED_COLUMN: Cells = ("", "", "", "", "", "SIU")
_WORKERS: Cells = ("", "", "", "X", "X", "X")
_OWNERS: Cells = ("", "x", "x", "", "", "x")

SCHEMAS: dict[str, Cells] = {
    #                      anon user A user B worker service admin
    "public":              ("X", "X", "X", "X", "X", "XC"),
    "sentinel":            ("", "", "", "", "", "XC"),
    "supabase_migrations": ("", "", "", "", "", "XC"),
}  # fmt: skip

# select * (S), delete, truncate, reference, trigger, maintain
TABLES: dict[str, Cells] = {
    #                                        anon user A user B worker service admin
    "public.analysis_requests":              ("", "s", "s", "S", "SD", "SDTRGM"),
    "public.analysis_results":               ("", "s", "s", "", "S", "SDTRGM"),
    "sentinel.attempts":                     _CLOSED_TABLE,
    "sentinel.compute":                      _CLOSED_TABLE,
    "sentinel.audit":                        ("", "", "", "", "", "SRGM"),  # a trigger refuses changes
    "sentinel.deletions":                    _CLOSED_TABLE,
    "sentinel.leases":                       _CLOSED_TABLE,
    "sentinel.paused":                       _CLOSED_TABLE,
    "sentinel.sentences":                    _CLOSED_TABLE,
    "sentinel.settings":                     _CLOSED_TABLE,
    "sentinel.throughput":                   _CLOSED_TABLE,
    "sentinel.turns":                        _CLOSED_TABLE,
    "sentinel.unserved_lanes":               _CLOSED_TABLE,
    "sentinel.usage":                        _CLOSED_TABLE,
    "sentinel.workers":                      _CLOSED_TABLE,
    "sentinel.queue":                       _CLOSED_VIEW,
    "sentinel.running":                     _CLOSED_VIEW,
    "sentinel.slow":                        _CLOSED_VIEW,
    "sentinel.poison":                      _CLOSED_VIEW,
    "sentinel.worker_states":               _CLOSED_VIEW,
    "sentinel.failures":                    _CLOSED_VIEW,
    "sentinel.retries":                     _CLOSED_VIEW,
    "sentinel.pauses":                      _CLOSED_VIEW,
    "sentinel.compute_by_user":             _CLOSED_VIEW,
    "supabase_migrations.schema_migrations": _CLOSED_TABLE,
}  # fmt: skip

# select, insert and update of each column
COLUMNS: dict[str, dict[str, Cells]] = {
    "public.analysis_requests": {
        "id user_id media_kind storage_path source_url detector options run_at dedupe_key batch_id answer_by "
        "original_name":
            ("", "si", "si", "S", "SIU", "SIU"),
        "priority status attempt max_attempts crashes stage progress verdict fake_probability coverage "
        "longest_gap_seconds error_code error_message error_params fence cancel_requested created_at started_at "
        "finished_at":
            ("", "s", "s", "S", "SIU", "SIU"),
        "lane":  # made by the database
            ("", "s", "s", "S", "S", "S"),
    },
    "public.analysis_results": {
        "id request_id user_id is_current superseded_at fence attempt verdict fake_probability threshold coverage "
        "longest_gap_seconds detector timeline faces frames audio media derived timings notice created_at "
        "verdict_reason":
            ("", "s", "s", "", "S", "SIU"),
    },
    "sentinel.attempts": {
        "request_id fence attempt worker claimed_at finished_at outcome answer stage error_code error software":
            _CLOSED_COLUMN,
    },
    "sentinel.compute": {"user_id worker since cpu_seconds wall_seconds requests": _CLOSED_COLUMN},
    "sentinel.audit": {
        "id": ("", "", "", "", "", "S"),  # made by the database
        "at session_role role jwt_sub jwt_role change relation request_id row_id was becomes":
            ("", "", "", "", "", "SI"),
    },
    "sentinel.deletions": {
        "id": ("", "", "", "", "", "S"),  # made by the database
        "bucket_id name version user_id tries created_at due_at keep_until": _CLOSED_COLUMN,
    },
    "sentinel.leases": {"request_id fence worker attempt claimed_at lease_until": _CLOSED_COLUMN},
    "sentinel.paused": {
        "id": ("", "", "", "", "", "S"),  # made by the database
        "lane user_id reason since by": _CLOSED_COLUMN,
    },
    "sentinel.sentences": {"rule sentence hint": _CLOSED_COLUMN},
    "sentinel.settings": {"name value initial kind low high optional note": _CLOSED_COLUMN},
    "sentinel.throughput": {"lane worker since requests seconds until": _CLOSED_COLUMN},
    "sentinel.turns": {"worker after_user odd seen_at ahead_after": _CLOSED_COLUMN},
    "sentinel.unserved_lanes": {"lane since": _CLOSED_COLUMN},
    "sentinel.usage": {
        "id": ("", "", "", "", "", "S"),  # made by the database
        "user_id kind amount at": _CLOSED_COLUMN,
    },
    "sentinel.workers": {"id name version lanes slots started_at last_seen draining": _CLOSED_COLUMN},
    "sentinel.queue": {"lane status requests oldest oldest_seconds paused unserved_since": _CLOSED_VIEW},
    "sentinel.running": {
        "request_id user_id lane worker worker_id stage progress seconds attempt crashes cancel_requested "
        "lease_until":
            _CLOSED_VIEW,
    },
    "sentinel.slow": {
        "request_id user_id lane worker worker_id stage progress seconds attempt crashes cancel_requested "
        "lease_until usual_seconds":
            _CLOSED_VIEW,
    },
    "sentinel.poison": {
        "request_id user_id lane status crashes attempt max_attempts stages workers "
        "last_crash":
            _CLOSED_VIEW,
    },
    "sentinel.worker_states": {
        "name id state slots used lanes version started_at last_seen seen_seconds_ago": _CLOSED_VIEW,
    },
    "sentinel.failures": {"error_code last_hour last_day users latest": _CLOSED_VIEW},
    "sentinel.retries": {"error_code last_hour last_day latest": _CLOSED_VIEW},
    "sentinel.compute_by_user": {"user_id cpu_seconds wall_seconds requests workers": _CLOSED_VIEW},
    "sentinel.pauses": {"id lane user_id reason since by requests oldest": _CLOSED_VIEW},
    "supabase_migrations.schema_migrations": {"version statements name": _CLOSED_COLUMN},
}  # fmt: skip

FUNCTIONS: dict[str, Cells] = {
    #                                          anon user A user B worker service admin
    "public.analysis_quota()":                 ("", "X", "X", "", "", "X"),
    "public.analysis_wait(uuid)":              _OWNERS,
    "public.cancel_analysis(uuid)":            _OWNERS,
    "public.delete_analysis(uuid)":            _OWNERS,
    "public.retry_analysis(uuid)":             _OWNERS,
    "public.sentinel_claim(jsonb)":            _WORKERS,
    "public.sentinel_deletions(jsonb)":        _WORKERS,
    "public.sentinel_finish(jsonb)":           _WORKERS,
    "public.sentinel_heartbeat(jsonb)":        _WORKERS,
    "public.sentinel_maintain(jsonb)":         _WORKERS,
    "public.sentinel_progress(jsonb)":         _WORKERS,
    "public.sentinel_rights(jsonb)":           _WORKERS,
    "sentinel.admit()":                        _CLOSED,
    "sentinel.alive_since()":                  _CLOSED,
    "sentinel.backoff_seconds(integer, double precision)": _CLOSED,
    "sentinel.by_turns(text[], integer, sentinel.caps, uuid, smallint, uuid[], uuid[], uuid[])": _CLOSED,
    "sentinel.choose(uuid, text[], integer, integer, jsonb)": _CLOSED,
    "sentinel.compute_used(uuid)":             _CLOSED,
    "sentinel.check_removal()":                _CLOSED,
    "sentinel.count_answers()":                _CLOSED,
    "sentinel.bound_options()":                _CLOSED,
    "sentinel.elements(jsonb, text)":          _CLOSED,
    "sentinel.end_attempts(uuid, sentinel.ending[])": _CLOSED,
    "sentinel.end_late()":                     _CLOSED,
    "sentinel.expire()":                       _CLOSED,
    "sentinel.expire_one(public.analysis_requests, sentinel.leases)": _CLOSED,
    "sentinel.explain(uuid, uuid, uuid, boolean)": _CLOSED,
    "sentinel.fail_unserved()":                _CLOSED,
    "sentinel.heavy(uuid[], double precision)": _CLOSED,
    "sentinel.held(jsonb, uuid[])":            _CLOSED,
    "sentinel.kept_since(text)":             _CLOSED,
    "sentinel.last_with_more(integer, integer)": _CLOSED,
    "sentinel.leave(public.analysis_requests, text)": _CLOSED,
    "sentinel.lock_of(uuid, text)":            _CLOSED,
    "sentinel.may_remove(text, text, text)":   _CLOSED,
    "sentinel.is_user()":                      _CLOSED,
    "sentinel.may_store()":                    _CLOSED,
    "sentinel.move()":                         _CLOSED,
    "sentinel.next_due_seconds()":             _CLOSED,
    "sentinel.next_users(text[], smallint, uuid, uuid, integer, uuid[])": _CLOSED,
    "sentinel.objects_of(sentinel.deletions, integer)": _CLOSED,
    "sentinel.offer_again(uuid, uuid[], integer, timestamp with time zone)": _CLOSED,
    "sentinel.open_requests(uuid)":            _CLOSED,
    "sentinel.outbox_requests()":              _CLOSED,
    "sentinel.outbox_truncated()":             _CLOSED,
    "sentinel.outbox_users()":                 _CLOSED,
    "sentinel.parts(uuid[], integer, integer, sentinel.caps, uuid[])": _CLOSED,
    "sentinel.place_of(public.analysis_requests)": _CLOSED,
    "sentinel.promote()":                      _CLOSED,
    "sentinel.prune()":                      _CLOSED,
    "sentinel.quota(text)":                    _CLOSED,
    "sentinel.rate_of(text)":                  _CLOSED,
    "sentinel.refuse(text, bigint, bigint, text, text)": _CLOSED,
    "sentinel.room(uuid[], integer, uuid[])": _CLOSED,
    "sentinel.served_lanes()":                 _CLOSED,
    "sentinel.serve(uuid[], integer[], text[], smallint, uuid[], uuid[])": _CLOSED,
    "sentinel.allowed_values(sentinel.settings)": _CLOSED,
    "sentinel.check_setting()":                _CLOSED,
    "sentinel.check_setting_names()":          _CLOSED,
    "sentinel.keep_settings()":                _CLOSED,
    "sentinel.nearest_setting(text)":          _CLOSED,
    "sentinel.claims_of_caller()":             _CLOSED,
    "sentinel.keep_audit()":                   _CLOSED,
    "sentinel.trace()":                        _CLOSED,
    "sentinel.pause_of(text, uuid)":           _CLOSED,
    "sentinel.rules_of_paused()":              _CLOSED,
    "sentinel.refuse_setting(text)":           _CLOSED,
    "sentinel.setting_allows(sentinel.settings, jsonb)": _CLOSED,
    "sentinel.explain_rules(regclass)":        _CLOSED,
    "sentinel.of_new(pg_constraint)": _CLOSED,
    "sentinel.refuse_change()":                _CLOSED,
    "sentinel.refuse_columns()":               _CLOSED,
    "sentinel.refuse_rule(text, regclass)":    _CLOSED,
    "sentinel.rules_of_analysis_requests()":   _CLOSED,
    "sentinel.rules_of_analysis_results()":    _CLOSED,
    "sentinel.rules_of_attempts()":            _CLOSED,
    "sentinel.rules_of_usage()":               _CLOSED,
    "sentinel.rules_of_compute()": _CLOSED,
    "sentinel.rules_of_leases()": _CLOSED,
    "sentinel.rules_of_throughput()": _CLOSED,
    "sentinel.rules_of_turns()": _CLOSED,
    "sentinel.rules_of_unserved_lanes()": _CLOSED,
    "sentinel.setting(text, double precision)": _CLOSED,
    "sentinel.spend(uuid, text, integer)":     _CLOSED,
    "sentinel.spend_inserted()":               _CLOSED,
    "sentinel.stored_bytes(uuid)":             _CLOSED,
    "sentinel.sweep()":                        _CLOSED,
    "sentinel.tell_inserted()":                _CLOSED,
    "sentinel.tell_unserved(uuid[])":          _CLOSED,
    "sentinel.tell_waiting()":                 _CLOSED,
    "sentinel.to_number(jsonb, double precision, double precision)": _CLOSED,
    "sentinel.to_text(jsonb, integer)":        _CLOSED,
    "sentinel.to_uuid(jsonb)":                 _CLOSED,
    "sentinel.used_in_an_hour(uuid, text)":    _CLOSED,
    "sentinel.wake()":                         _CLOSED,
    "sentinel.worker_of(jsonb)":               _CLOSED,
}  # fmt: skip

# Rights of each role in SQL on rows of objects and messages. D is a DELETE as the Storage API sends it; a plain
# DELETE is refused to everybody.
PLATFORM_ROWS: dict[str, Cells] = {
    #                                anon user A user B worker service admin
    "storage.objects media/<A>/":    ("", "SIUD", "", "S", "SIUD", "SIUD"),
    "storage.objects media/<B>/":    ("", "", "SIUD", "S", "SIUD", "SIUD"),
    "storage.objects media/":        ("", "", "", "S", "SIUD", "SIUD"),
    "storage.objects media/<gone>/": ("", "", "", "SD", "SIUD", "SIUD"),
    "storage.objects derived/<A>/":  ("", "S", "", "SIU", "SIUD", "SIUD"),
    "storage.objects derived/<B>/":  ("", "", "S", "SIU", "SIUD", "SIUD"),
    "storage.objects derived/":      ("", "", "", "SIU", "SIUD", "SIUD"),
    "storage.objects derived/<gone>/": ("", "", "", "SIUD", "SIUD", "SIUD"),
    "storage.objects other/<A>/":    ("", "", "", "", "SIUD", "SIUD"),
    # They are in media/<A>/.
    "storage.objects, named by the outbox":         ("", "D", "", "D", "D", "D"),
    "storage.objects, named, uploaded again since": ("", "D", "", "", "D", "D"),
    "storage.objects, named, and by a request":     ("", "D", "", "", "D", "D"),
    "storage.objects, plain DELETE":                ("", "", "", "", "", ""),
    "storage.buckets":                   ("", "", "", "", "SIUD", "SIUD"),
    "realtime.messages sentinel:wake":   ("", "", "", "S", "SIU", "SIUD"),
    "realtime.messages, presence of it": ("", "", "", "", "SIU", "SIUD"),
    "realtime.messages, another topic":  ("", "", "", "", "SIU", "SIUD"),
}  # fmt: skip

OBJECT_LETTERS = {
    "L": "list",
    "R": "download, read metadata, sign a URL to download",
    "N": "store a new object",
    "O": "overwrite",
    "T": "resumable upload: a new one, or ending another user's",
    "W": "sign a URL to upload",
    "M": "move from here",
    "C": "copy from here",
    "V": "move to here",
    "K": "copy to here",
    "D": "remove",
}

# The same over Storage's HTTP. The other end of a move or copy is the caller's own folder of `media`, for workers of
# `derived`.
OBJECTS: dict[str, Cells] = {
    #               anon user A        user B        worker         service        (no key)
    "media/<A>/":   ("", "LRNOTWMCVKD", "", "LRC", "LRNOTWMCVKD", ""),
    "media/<B>/":   ("", "", "LRNOTWMCVKD", "LRC", "LRNOTWMCVKD", ""),
    "media/":       ("", "", "", "LRC", "LRNOTWMCVKD", ""),
    "media/<gone>/": ("", "", "", "LRCD", "LRNOTWMCVKD", ""),
    "derived/<A>/": ("", "LRC", "", "LRNOTWMCVK", "LRNOTWMCVKD", ""),
    "derived/<B>/": ("", "", "LRC", "LRNOTWMCVK", "LRNOTWMCVKD", ""),
    "derived/":     ("", "", "", "LRNOTWMCVK", "LRNOTWMCVKD", ""),
    "derived/<gone>/": ("", "", "", "LRNOTWMCVKD", "LRNOTWMCVKD", ""),
    "other/<A>/":   ("", "", "", "", "LRNOTWMCVKD", ""),
}  # fmt: skip

BUCKET_LETTERS = {"S": "read", "I": "create another", "U": "change", "E": "empty", "D": "delete"}
BUCKETS: dict[str, Cells] = {
    "media":   ("", "", "", "", "SIUED", ""),
    "derived": ("", "", "", "", "SIUED", ""),
}  # fmt: skip

# Changes that Realtime delivers with content. D are the primary keys of deleted rows, which the platform sends to
# everybody who may read the table.
CHANGES: dict[str, Cells] = {
    "public.analysis_requests": ("", "iuD", "iuD", "IUD", "IUD", ""),
    "public.analysis_results":  ("", "iuD", "iuD", "", "IUD", ""),
}  # fmt: skip

TOPIC_LETTERS = {"L": "listen", "W": "send"}
TOPICS: dict[str, Cells] = {
    "sentinel:wake, private":  ("", "", "", "L", "LW", ""),
    "another topic, private":  ("", "", "", "", "LW", ""),
    "sentinel:wake, public":   ("LW", "LW", "LW", "LW", "LW", ""),
    "another topic, public":   ("LW", "LW", "LW", "LW", "LW", ""),
}  # fmt: skip
