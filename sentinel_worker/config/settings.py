"""Settings of the daemon, all from environment variables; every mistake is reported at once."""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sentinel_worker.config import secret_files
from sentinel_worker.config.list_settings import Hosts, Networks, Ports, Schemes, Sites, UrlSources
from sentinel_worker.confine.layers import Mode
from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.windows import CoverageRule
from sentinel_worker.observe import masking

GIBIBYTE = 1024**3
_ENCODING_SHARE = 0.75
SECRETS: Final = ("secret_key", "service_role_key", "publishable_key", "worker_jwt")
"""Fields that hold a secret; each has a matching field `<name>_file`."""
SITES = (
    "9gag",
    "bilibili",
    "bitchute",
    "bluesky",
    "dailymotion",
    "facebook",
    "instagram",
    "linkedin",
    "odnoklassniki",
    "pinterest",
    "reddit",
    "rumble",
    "rutube",
    "snapchatspotlight",
    "soundcloud",
    "streamable",
    "telegram",
    "tiktok",
    "tumblr",
    "twitch",
    "twitter",
    "vimeo",
    "vk",
    "vm.tiktok",
    "weibo",
    "youtube",
)


class Settings(BaseSettings):
    """One field per setting; units are in the names. `docs/settings.md` is the table for people."""

    model_config = SettingsConfigDict(
        env_prefix="SENTINEL_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    allow_plain_http: bool = Field(
        False, description="Allow `http://` in `SUPABASE_URL` for a host other than this machine."
    )
    supabase_url: str = Field(validation_alias="SUPABASE_URL", description="Base URL of the Supabase project.")
    secret_key_file: Path | None = Field(
        None, validation_alias="SUPABASE_SECRET_KEY_FILE", description="File that holds the secret key."
    )
    service_role_key_file: Path | None = Field(
        None, validation_alias="SUPABASE_SERVICE_ROLE_KEY_FILE", description="File that holds the service_role JWT."
    )
    publishable_key_file: Path | None = Field(
        None, validation_alias="SUPABASE_PUBLISHABLE_KEY_FILE", description="File that holds the publishable key."
    )
    worker_jwt_file: Path | None = Field(None, description="File that holds the worker JWT.")
    secret_key: SecretStr | None = Field(
        None, validation_alias="SUPABASE_SECRET_KEY", description="Secret key (`sb_secret_…`)."
    )
    service_role_key: SecretStr | None = Field(
        None, validation_alias="SUPABASE_SERVICE_ROLE_KEY", description="Legacy service_role JWT."
    )
    publishable_key: SecretStr | None = Field(
        None, validation_alias="SUPABASE_PUBLISHABLE_KEY", description="Publishable key, used with a worker JWT."
    )
    worker_jwt: SecretStr | None = Field(
        None, description="JWT with role `sentinel_worker`, used with the publishable key."
    )

    worker_name: str = Field(default_factory=socket.gethostname, description="Name shown in `sentinel.workers`.")
    detector: str = Field(
        "video-large,image-vit,audio-xlsr",
        description="Keys of the detectors to load; the first of each kind answers requests that name none.",
    )
    detectors: Path | None = Field(
        None, description="TOML file with the operator's own detectors and changes to the built-in ones."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Device that detectors run on.")
    slots: int = Field(
        16,
        ge=1,
        le=64,
        description="Requests worked on at the same time; one user gets at most half of those that others leave.",
    )
    fetch_concurrency: int = Field(
        8,
        ge=1,
        le=64,
        description="Downloads from Storage at the same time; one user gets at most half of those that others leave.",
    )
    url_concurrency: int = Field(
        4,
        ge=1,
        le=64,
        description="Downloads of URLs and posts at the same time, at most half of them for one user; "
        "they always leave one slot free.",
    )
    decode_concurrency: int = Field(
        4,
        ge=1,
        le=64,
        description="Decoding children at the same time; one user gets at most half of those that others leave.",
    )
    batch_windows: int = Field(8, ge=1, le=256, description="Maximum number of windows scored in one batch.")

    max_gap_seconds: float = Field(
        60,
        gt=0,
        le=86_400,
        description="Longest part of a track that no window looks at, while the maximum of windows is enough for that.",
    )
    max_windows: int = Field(
        40,
        ge=1,
        le=1000,
        description="Maximum number of windows of a long track; a detector's budget may be larger.",
    )
    real_max_gap_seconds: float = Field(
        180,
        gt=0,
        le=86_400,
        description="A track with a longer part that was not looked at is never `real`, but `uncertain`.",
    )

    lease_seconds: float = Field(60, ge=2, le=3600, description="Time that a claim lasts without a heartbeat.")
    heartbeat_seconds: float = Field(20, ge=0.2, le=600, description="Time between heartbeats.")
    sweep_seconds: float = Field(30, ge=0.2, le=3600, description="Longest time between polls while Realtime is up.")
    sweep_degraded_seconds: float = Field(
        5, ge=0.2, le=3600, description="Longest time between polls while Realtime is down or off."
    )
    drain_seconds: float = Field(
        60,
        ge=0,
        le=3600,
        description="Time that running requests get after SIGTERM before they are released.",
    )
    realtime: bool = Field(True, description="Listen for wake-ups; without it the worker only polls.")
    http_timeout_seconds: float = Field(
        10, ge=0.5, le=120, description="Timeout of one database call; for a heartbeat at most a quarter of the lease."
    )

    media_max_bytes: int = Field(2 * GIBIBYTE, ge=1, description="Largest file that is fetched.")
    media_max_seconds: float = Field(3 * 3600, gt=0, description="Longest video or audio that is analyzed.")
    fetch_deadline_seconds: float = Field(1800, gt=0, description="Time limit of the stage `fetching`.")
    probe_deadline_seconds: float = Field(120, gt=0, description="Time limit of the stage `probing`.")
    analyze_deadline_seconds: float = Field(900, gt=0, description="Time limit of the stage `analyzing`.")
    derive_deadline_seconds: float = Field(
        120,
        gt=0,
        description="Time limit of the stage `deriving`, for the pictures and once more for a preview; what is missing "
        "then is left out.",
    )
    preview_seconds: float = Field(
        600, ge=0, le=10_800, description="Longest part of a file that a preview shows; 0: no previews are made."
    )
    sandbox: Mode = Field(
        "auto",
        description="`auto`: decoding children get every layer of confinement that the kernel grants, and never a "
        "network; `require`: the daemon does not start if a layer is missing.",
    )
    url_sources: UrlSources = Field(
        ("direct", "social"),
        description="Kinds of `source_url` that are fetched: `direct` to files, `social` to posts, or `none`.",
    )
    url_schemes: Schemes = Field(("https",), description="Schemes of URLs that are fetched: `https`, `http`.")
    url_ports: Ports = Field((), description="Ports that URLs may use; by default those of the schemes.")
    url_allowed_hosts: Hosts = Field(
        (), description="The only hosts to fetch from: `example.org`, or `.example.org` with all its subdomains."
    )
    url_denied_hosts: Hosts = Field(
        (), description="Hosts never to fetch from; takes precedence over the allowed ones."
    )
    url_allowed_networks: Networks = Field(
        (), description="Networks to fetch from although they are not public, such as `10.1.0.0/16`."
    )
    url_denied_networks: Networks = Field((), description="Networks never to fetch from.")
    url_max_redirects: int = Field(5, ge=0, le=20, description="Maximum number of redirects followed for one URL.")
    url_min_bytes_per_second: int = Field(
        10240, ge=1, description="Lowest speed accepted from a server, over 30 seconds."
    )
    social_extractors: Sites = Field(
        SITES, description="Sites whose posts are fetched, as names of yt-dlp extractors; never `generic`."
    )
    social_without_namespace: bool = Field(
        False,
        description="Fetch posts even if the fetching process cannot get its own network namespace; "
        "it still needs Landlock.",
    )
    work_dir: Path | None = Field(
        None, description="Folder for private request folders; by default the system's temporary folder."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="`json` for machines, `console` for people.")

    @field_validator("supabase_url")
    @classmethod
    def _http_url(cls, value: str, info: ValidationInfo) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        url = urlsplit(value)
        if not url.hostname or (url.port is not None and url.port == 0):  # reading an impossible port raises ValueError
            raise ValueError("must name a host, and a port from 1 to 65535 if any: https://host:port")
        if url.username is not None or url.password is not None or url.query:
            raise ValueError("must be a bare address, without a user, a password or a query, because it is logged")
        if url.scheme == "http" and not _is_loopback(url.hostname or "") and not info.data.get("allow_plain_http"):
            raise ValueError(
                "http:// would send the key unencrypted to another machine: use https://, "
                "or set SENTINEL_ALLOW_PLAIN_HTTP=true if the network between them is trusted"
            )
        return value.rstrip("/")

    @field_validator(*(f"{name}_file" for name in SECRETS))
    @classmethod
    def _one_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        assert info.field_name is not None
        name = variable(info.field_name.removesuffix("_file"))
        credential = secret_files.credential(name)
        if value is not None and credential is not None:
            raise ValueError(f"is set, and so is the systemd credential {name}: keep only one of them")
        return value or credential

    @field_validator(*SECRETS)
    @classmethod
    def _from_its_file(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        path = info.data.get(f"{info.field_name}_file")
        if path is None:
            return value
        if value is not None:
            raise ValueError(f"is set, and so is a file for it ({path}): keep only one of them")
        return SecretStr(secret_files.read(path))

    @field_validator("detector")
    @classmethod
    def _keys(cls, value: str) -> str:
        keys = [key.strip() for key in value.split(",")]
        if not all(keys):
            raise ValueError("contains an empty key: separate the keys of detectors with single commas")
        if len(set(keys)) < len(keys):
            raise ValueError("names a detector twice: name each only once")
        return ",".join(keys)

    @field_validator("detectors")
    @classmethod
    def _existing_file(cls, value: Path | None) -> Path | None:
        try:
            if value is not None and not value.is_file():
                raise ValueError("is not a file")
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
        return value

    # Contradictions are checked on the later field of a pair, so that they are listed with every other mistake.

    @field_validator("worker_jwt")
    @classmethod
    def _one_way_to_sign_in(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        known = info.data
        full = known.get("secret_key") or known.get("service_role_key")
        if not full and not (known.get("publishable_key") and value):
            raise ValueError(
                "no key: set SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY, "
                "or SUPABASE_PUBLISHABLE_KEY together with SENTINEL_WORKER_JWT)"
            )
        return value

    @field_validator("heartbeat_seconds")
    @classmethod
    def _lease_outlives_heartbeats(cls, value: float, info: ValidationInfo) -> float:
        lease_seconds = info.data.get("lease_seconds")
        if lease_seconds is not None and 3 * value > lease_seconds:
            raise ValueError(
                f"must be at most a third of SENTINEL_LEASE_SECONDS ({lease_seconds:g}), "
                "so that one lost heartbeat loses no work"
            )
        return value

    @field_validator("real_max_gap_seconds")
    @classmethod
    def _planned_gaps_allow_real(cls, value: float, info: ValidationInfo) -> float:
        max_gap_seconds = info.data.get("max_gap_seconds")
        if max_gap_seconds is not None and value < max_gap_seconds:
            raise ValueError(
                f"must be at least SENTINEL_MAX_GAP_SECONDS ({max_gap_seconds:g}): "
                "otherwise no long file could be called real"
            )
        return value

    @property
    def url_places(self) -> int:
        """Number of slots that URLs may hold: never the last one, so that uploads continue beside slow servers."""
        return max(1, min(self.url_concurrency, self.slots - 1))

    @property
    def preview(self) -> PreviewLimits | None:
        """Bounds of a preview; a quarter of its stage's time is left for the upload. None if none are made."""
        if not self.preview_seconds:
            return None
        return PreviewLimits(self.preview_seconds, _ENCODING_SHARE * self.derive_deadline_seconds)

    @property
    def coverage(self) -> CoverageRule:
        """Rule for how closely a file is looked at."""
        return CoverageRule(self.max_gap_seconds, self.max_windows, self.real_max_gap_seconds)

    @property
    def detector_keys(self) -> tuple[str, ...]:
        """Keys in `detector`, in its order."""
        return tuple(self.detector.split(","))

    @property
    def secret_paths(self) -> dict[str, Path]:
        """Files that secrets were read from, by field. Only these secrets can change while the worker runs."""
        paths = {name: getattr(self, f"{name}_file") for name in SECRETS}
        return {name: path for name, path in paths.items() if path is not None}


def load() -> Settings:
    """Read the environment and the secret files; raises `Fatal('bad_settings')` with one line per mistake.

    The secrets are masked in everything that this process writes from here on.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [_line(item["loc"], item["msg"]) for item in error.errors(include_url=False, include_input=False)]
        raise Fatal("bad_settings", "\n".join(lines)) from None
    for name in SECRETS:
        if (value := getattr(settings, name)) is not None:
            masking.register(value.get_secret_value())
    return settings


def check_hub_address() -> None:
    """Raise `Fatal('bad_settings')` if `HF_ENDPOINT` is not an address; the hub's library reads it when imported."""
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        url = urlsplit(address)
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # an impossible port or IPv6 address
        valid = False
    if not valid:
        raise Fatal("bad_settings", "HF_ENDPOINT: must be the hub's address, such as https://huggingface.co")


def forget_environment() -> None:
    """Remove the secrets from this process's environment, so that nothing it starts or prints can find them there.

    The kernel still shows the original environment to this user and root; see `confine.sandbox.hide_memory`.
    """
    for name in SECRETS:
        os.environ.pop(variable(name), None)
    os.environ.pop("SENTINEL_DB_URL", None)


def variable(field: str) -> str:
    """Environment variable that sets `field`."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"SENTINEL_{field.upper()}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _line(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0])
    shown = variable(name) if name in Settings.model_fields else name
    return f"{shown}: {message.removeprefix('Value error, ')}"
