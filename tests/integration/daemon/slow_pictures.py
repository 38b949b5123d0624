"""`sentinel-worker run` whose decoding children take PICTURE_SECONDS longer to make each picture for people.

python -m tests.integration.daemon.slow_pictures run
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from sentinel_worker import cli
from sentinel_worker.domain.derived import Picture
from sentinel_worker.media.child_client import Child

derive = Child.derive


async def derive_slowly(self: Child, wanted: Sequence[Picture], *, names: Sequence[str]) -> list[Path]:
    """Make the picture after a pause."""
    await asyncio.sleep(float(os.environ["PICTURE_SECONDS"]))  # the intended fault
    return await derive(self, wanted, names=names)


if __name__ == "__main__":
    Child.derive = derive_slowly  # type: ignore[method-assign]
    cli.main()
