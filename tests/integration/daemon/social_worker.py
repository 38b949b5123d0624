"""`sentinel-worker run` that also knows the imitated site, whose name resolves to this machine."""

from __future__ import annotations

from sentinel_worker import cli
from sentinel_worker.config.settings import Settings
from sentinel_worker.sources.egress import Egress
from sentinel_worker.sources.social.fetcher import Social
from tests.integration.sources.social import site


def with_imitation(settings: Settings, egress: Egress) -> Social:
    """Return `Social.from_settings` for the imitated site."""
    return site.social(Egress(egress.policy, site.look_up), limit_seconds=settings.media_max_seconds)


if __name__ == "__main__":
    Social.from_settings = with_imitation  # type: ignore[method-assign]
    cli.main()
