"""`sentinel-worker run` whose children die while they make a preview.

python -m tests.integration.daemon.lost_previews run
"""

import os
import signal
from pathlib import Path

from sentinel_worker import cli
from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.media.child_client import Child

preview = Child.preview


async def preview_in_vain(self: Child, limits: PreviewLimits, *, name: str) -> Path:
    """Kill the child, then ask it."""
    os.kill(self.pid, signal.SIGSEGV)
    return await preview(self, limits, name=name)


if __name__ == "__main__":
    Child.preview = preview_in_vain  # type: ignore[method-assign]
    cli.main()
