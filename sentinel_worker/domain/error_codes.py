"""Every error code, declared once: the classes it is raised as, its meaning in the docs, and its traits.

`errors` refuses to construct a code that is not declared here, or not for that class. docs/operations.md has a row for
each code in the same words; a test compares them both ways. The sentences that people read are where the errors are
raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

Kind = Literal["transient", "permanent", "fatal", "database"]
"""Class that carries a code; `database` marks a code that SQL writes into a row."""


class Trait(Enum):
    """Consequence of a code beyond its kind."""

    NOT_ITS_FAULT = auto()
    """Every request would fail alike: for a day this costs no attempt."""
    OTHERS_FIRST = auto()
    """Other requests hold what this one needs: waiting costs no attempt, however long it takes."""
    OUTAGE = auto()
    """Supabase is down; the call itself may be valid."""
    SET_UP = auto()
    """Fatal if the first call fails with it: the operator must fix the key or the schema."""
    AT_ONCE = auto()
    """Storage is retried within the same attempt."""
    OF_MEDIA = auto()
    """A decoding child may report it about its file; other codes could postpone the request for ever."""
    OF_SOUND = auto()
    """In a video's sound it does not cost the verdict about the pictures."""
    OF_PROXY = auto()
    """yt-dlp reports it for a connection that the worker's proxy refused."""
    NOT_PULLED = auto()
    """The weights are not on this machine."""
    OF_MACHINE = auto()
    """The worker's machine is at fault: it claims nothing until a trial succeeds."""


NOT_ITS_FAULT, OTHERS_FIRST, OUTAGE, SET_UP, AT_ONCE, OF_MEDIA, OF_SOUND, OF_PROXY, NOT_PULLED, OF_MACHINE = Trait


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the tables below."""

    kinds: tuple[Kind, ...]
    meaning: str
    traits: frozenset[Trait]


def _transient(meaning: str, *traits: Trait) -> ErrorCode:
    return ErrorCode(("transient",), meaning, frozenset(traits))


def _permanent(meaning: str, *traits: Trait) -> ErrorCode:
    return ErrorCode(("permanent",), meaning, frozenset(traits))


def _fatal(meaning: str, *traits: Trait) -> ErrorCode:
    return ErrorCode(("fatal",), meaning, frozenset(traits))


def _at_start_fatal(meaning: str, *traits: Trait) -> ErrorCode:
    return ErrorCode(("transient", "fatal"), meaning, frozenset(traits))


def _database(meaning: str) -> ErrorCode:
    return ErrorCode(("database",), meaning, frozenset())


OF_REQUESTS: Final[Mapping[str, ErrorCode]] = {
    # Storage
    "object_not_found": _permanent("the file is not in Storage"),
    "storage_path_refused": _permanent("the path is not in the owner's folder"),
    "storage_refused": _permanent("Storage refused the download for another reason"),
    "storage_unavailable": _transient("Storage is down", NOT_ITS_FAULT, AT_ONCE),
    "storage_unreachable": _transient("Storage cannot be reached", NOT_ITS_FAULT, AT_ONCE),
    "storage_stalled": _transient("Storage is too slow", AT_ONCE),
    "bucket_missing": _transient("the bucket does not exist, or the worker may not see it", NOT_ITS_FAULT),
    "access_refused": _at_start_fatal("Supabase refused the worker's key or role", NOT_ITS_FAULT, SET_UP),
    # The worker's machine
    "disk_full": _transient(
        "the worker's disk has no space or no inodes left; with `models pull`, the cache's disk",
        NOT_ITS_FAULT,
        OF_MACHINE,
    ),
    "descriptors_exhausted": _transient(
        "the worker has no file descriptors left: raise `LimitNOFILE=` or `ulimit -n`", NOT_ITS_FAULT, OF_MACHINE
    ),
    "memory_exhausted": _transient(
        "the worker cannot allocate 32 MiB, or start a process or thread: see `ulimit`, `TasksMax=` and what else runs",
        NOT_ITS_FAULT,
        OF_MACHINE,
    ),
    "work_folder_unusable": _at_start_fatal(
        "the worker's folder below `SENTINEL_WORK_DIR` is gone, or its disk is read-only or broken; fatal at the start "
        "if `SENTINEL_WORK_DIR` is missing or cannot be written",
        NOT_ITS_FAULT,
        OF_MACHINE,
    ),
    # URLs
    "url_refused": _permanent("the worker may not fetch from the URL, a redirect, or an address behind one"),
    "url_host_unknown": _permanent("the URL's host does not exist"),
    "url_not_found": _permanent("the server answered 404 or 410"),
    "url_forbidden": _permanent("the server answered 401, 402, 403, 407 or 451"),
    "url_unusable": _permanent("the server sent no file: too many redirects, a compressed response, or no HTTP"),
    "url_untrusted": _permanent("the server's certificate is not valid for the host"),
    "url_unavailable": _transient("the server answered 408, 425, 429 or 5xx; its Retry-After is kept, up to an hour"),
    "url_unreachable": _transient("the host cannot be resolved or reached now, or the connection broke"),
    "url_stalled": _transient("slower than `SENTINEL_URL_MIN_BYTES_PER_SECOND`, or 30 seconds without a response"),
    "worker_busy": _transient("other URLs hold the places or look-ups that it needs; retried soon", OTHERS_FIRST),
    "source_not_supported": _permanent("`SENTINEL_URL_SOURCES` does not allow this kind of `source_url`"),
    # Posts of social sites
    "social_live": _permanent("the post is a live stream, has just been one, or has not begun"),
    "social_playlist": _permanent("the link leads to several videos: a playlist, a channel, a gallery"),
    "social_private": _permanent("only some people may see the post"),
    "social_removed": _permanent("the post was removed or never existed"),
    "social_login_required": _permanent("the site requires an account or a payment; the worker has none"),
    "social_age_restricted": _permanent("the site requires a proof of age; the worker has none"),
    "social_unavailable_here": _permanent("the site does not show the post in the worker's country"),
    "social_protected": _permanent("the post is encrypted (DRM)"),
    "social_no_video": _permanent("the post has nothing that can be fetched without FFmpeg", OF_PROXY),
    "social_js_runtime_missing": _permanent("the site (YouTube) requires running a script; see below"),
    "social_not_supported": _permanent("the post leads to a site that is not in `SENTINEL_SOCIAL_EXTRACTORS`"),
    "social_not_confined": _permanent(
        "the process that fetches posts has no network namespace or no Landlock; see below"
    ),
    "social_blocked": _transient(
        "the site answers 403 or 429, or asks for a human; retried after 10 minutes", OF_PROXY
    ),
    "social_unreachable": _transient("the site is down, answers 5xx or breaks the connection", OF_PROXY),
    "social_stalled": _transient("the site is too slow"),
    "social_failed": _transient(
        "anything else; the log has the details. If a site has changed, upgrade yt-dlp", OF_PROXY
    ),
    # Media
    "media_empty": _permanent("the file has no bytes", OF_MEDIA),
    "media_not_supported": _permanent(
        "the file is not media, or is a playlist, manifest, archive, script …", OF_MEDIA, OF_SOUND
    ),
    "media_truncated": _permanent(
        "the file ends before its index, or before more than 5 % of its picture", OF_MEDIA, OF_SOUND
    ),
    "media_unreadable": _permanent("the file is damaged beyond use", OF_MEDIA, OF_SOUND),
    "media_too_large": _permanent(
        "the file exceeds a limit of bytes, pixels, sides, streams or memory", OF_MEDIA, OF_SOUND
    ),
    "media_too_long": _permanent("the file exceeds a limit of seconds or frames", OF_MEDIA),
    "too_slow_to_analyze": _permanent(
        "decoding and scoring the file take more computing time than a stage or a decoding child may use", OF_SOUND
    ),
    "no_tracks": _permanent("the file has neither pictures nor sound", OF_MEDIA),
    "no_frames": _permanent("the file announces pictures but has none", OF_MEDIA),
    "media_kind_mismatch": _permanent("the kind of the file does not match the request, or the detector that it names"),
    "no_sound": _permanent("the request asks for sound, but the file has none"),
    "decoder_lost": _transient("the decoding child died"),
    "decoder_timeout": _transient("the decoding child hung", OF_SOUND),
    "decoder_failed": _transient("the decoding child failed", OF_SOUND),
    # Detectors and stages
    "detector_unavailable": ErrorCode(
        ("permanent", "database"),
        "for `lane_grace_seconds` (15 minutes) no worker has offered this detector for this media",
        frozenset(),
    ),
    "score_not_finite": _permanent("the detector returned no usable number"),
    "gpu_out_of_memory": _transient("not even one clip fits on the GPU; at the start, the detector does not fit"),
    "out_of_memory": _transient("too little memory: use fewer slots, a smaller detector or more memory"),
    "stage_timed_out": _transient("a stage took longer than its limit"),
    "internal_error": _at_start_fatal("a bug in the worker; its log has the traceback. Fatal if it keeps recurring"),
    "result_refused": _permanent("the database refused the result, for instance because of its size"),
    "request_unreadable": _permanent("a column of the row has a value that the worker cannot read, such as a time"),
    "no_worker": _database("no live worker offers this detector for this media: the request still waits for one"),
    "answer_too_late": ErrorCode(
        ("permanent", "database"), "the request was not finished by its `answer_by`", frozenset()
    ),
    "worker_lost": _database(
        "the lease expired: the worker died or hung; costs an attempt, and `max_crashes` of them fail the request"
    ),
    "failed_by_hand": _database("an admin set `failed`"),
    "unknown_error": _database("a worker reported a code that the database does not accept"),
}
"""Codes that a request's `error_code` can hold."""

OF_WORKER: Final[Mapping[str, ErrorCode]] = {
    "bad_settings": _fatal(
        "mistakes in the settings; printed as plain lines on standard error, as the log format is a setting too"
    ),
    "schema_missing": _at_start_fatal("the migrations are not applied; retried slowly once the worker runs", SET_UP),
    "supabase_unavailable": _transient("Supabase is down; retried with backoff", OUTAGE),
    "supabase_unreachable": _transient("Supabase cannot be reached; retried with backoff", OUTAGE),
    "supabase_timed_out": _transient("Supabase did not answer in time; retried with backoff", OUTAGE),
    "call_refused": _permanent(
        "Supabase, or a firewall before it, refused a call as invalid; or worker and database do not match"
    ),
    "data_refused": _permanent(
        "Supabase refused the values or the size of a call; an outcome becomes `result_refused`"
    ),
    "unknown_detector": _fatal("the detector does not exist"),
    "bad_detectors": _fatal("mistakes in the detectors file; the message names each on its own line"),
    "checkpoint_missing": _fatal("the detector's weights are not on this machine", NOT_PULLED),
    "checkpoint_unpinned": _fatal("the weights are on this machine, but no record pins them", NOT_PULLED),
    "checkpoint_invalid": _fatal("the checkpoint cannot be used; the message says why"),
    "weights_not_safetensors": _fatal("the only weights are in a format that can run code when it is read"),
    "models_record_damaged": _fatal("the record of pulled weights cannot be read"),
    "remote_code_refused": _fatal("the checkpoint wants to run its own code, which `allow_remote_code` forbids"),
    "label_polarity_unknown": _fatal("it is not known which label means fake"),
    "label_polarity_inverted": _fatal("the label taken to mean fake contradicts known clips"),
    "known_file_unusable": _fatal("a known file in the detectors file cannot be examined"),
    "calibration_mismatch": _fatal("the calibration was fitted on weights other than the loaded ones"),
    "calibration_invalid": _fatal(
        "the calibration is damaged, has another version or is impossible; the message says how"
    ),
    "preprocessing_unsupported": _fatal("preprocessor_config.json asks for a step that would silently change scores"),
    "library_missing": _fatal(
        "the decoder cannot load a shared library of the system; the message names it and its Debian package"
    ),
    "decoder_unavailable": _at_start_fatal("the zygote does not start; transient if it was killed or was too slow"),
    "sandbox_unavailable": _fatal("decoding children cannot be confined"),
    "no_gpu": _fatal("CUDA was requested but is not available"),
    "gpu_failed": _fatal("CUDA failed while running"),
    "worker_broken": _transient("one of these errors occurred in a running worker"),
}
"""Codes that stop a worker, or its calls."""

OF_COMMANDS: Final[Mapping[str, ErrorCode]] = {
    "extra_missing": _fatal("the command needs an extra of the package; the message names it"),
    "file_refused": _fatal("the system refused a file, or the command's output; the message says why"),
    # migrate
    "migration_refused": _fatal("the URL, its user, password or database is wrong, or a migration does not fit"),
    "database_unavailable": _transient("the database cannot be reached now, or other sessions hold its locks"),
    # models
    "repository_not_found": _fatal("the hub has no such repository or revision, or hides it from this account"),
    "repository_refused": _fatal("the hub does not let this account read the repository"),
    "licence_not_accepted": _fatal("the licence forbids commercial use or is not stated, and was not accepted"),
    "checkpoint_damaged": _fatal("the weights do not have the hub's hash"),
    "hub_unreachable": _transient("the hub cannot be reached"),
    "cache_not_writable": _fatal("the Hugging Face cache cannot be written"),
    # analyze and evaluate
    "file_unreadable": _permanent("not a file, or access denied"),
    "manifest_invalid": _fatal("the list of labelled files has mistakes; up to 20 are named"),
    "report_unwritable": _fatal("the report, or its folder, cannot be written"),
    "calibration_impossible": _fatal("too few files, classes or groups to fit a calibration"),
    # dev
    "worker_ended": _transient("the worker of `dev` ended unexpectedly; its log says why"),
    "local_supabase_failed": _fatal("the local Supabase of `dev` cannot be started as requested; the message says why"),
}
"""Codes that only the commands show, besides those above."""

CODES: Final[Mapping[str, ErrorCode]] = {**OF_REQUESTS, **OF_WORKER, **OF_COMMANDS}


def with_trait(trait: Trait) -> frozenset[str]:
    """Return the codes that have `trait`."""
    return frozenset(code for code, declared in CODES.items() if trait in declared.traits)
