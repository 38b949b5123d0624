"""The worker's health in one word, with a reason."""

from typing import Literal

import structlog

from sentinel_worker.observe import logs

State = Literal["starting", "ready", "degraded", "draining", "broken"]

_EVENTS: dict[State, str] = {
    "starting": logs.STARTING,
    "ready": logs.READY,
    "degraded": logs.DEGRADED,
    "draining": logs.DRAINING,
    "broken": logs.BROKEN,
}

log = structlog.get_logger()


class Health:
    """`ready` needs a warm detector, a zygote and a recent successful claim; without Realtime it is `degraded`."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.reason = ""

    def become(self, state: State, reason: str = "") -> None:
        """Log a change once; `draining` is final."""
        if self.state == "draining" or (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        write = log.warning if state in {"degraded", "broken"} else log.info
        write(_EVENTS[state], reason=reason or None)
