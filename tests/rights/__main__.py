"""`python -m tests.rights`: ask all questions and print the matrix of rights found.

Exits with 1 if it differs from the list in allowed.py. `--write` asks nothing and writes docs/rights.md from the list.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.rights import page
from tests.rights.asking import (
    REALTIME_SECTIONS,
    REST_LETTERS,
    REST_SECTIONS,
    SQL_SECTIONS,
    STORAGE_SECTIONS,
    asking,
)
from tests.rights.matrix import Matrix, differences, listed, unlisted
from tests.rights.world import CALLERS, IDENTITIES


async def main() -> int:
    """Ask, print, and return the exit status."""
    everyone, callers = [who.name for who in IDENTITIES], [who.name for who in CALLERS]
    found, rest = Matrix(), Matrix()
    with tempfile.TemporaryDirectory() as folder:
        async with asking(Path(folder)) as world:
            lines = unlisted(world.universe)
            for who in IDENTITIES:
                found.merge(world.as_sql(who))
            as_sql = found.asked
            lines += differences(found, SQL_SECTIONS, everyone)
            for who in CALLERS:
                rest.merge(await world.by_rest(who))
                found.merge(await world.by_storage(who))
            found.merge(await world.by_realtime())
    lines += differences(rest, REST_SECTIONS, callers, REST_LETTERS)
    lines += differences(found, (*STORAGE_SECTIONS, *REALTIME_SECTIONS), callers)
    by_gateway = found.asked - as_sql + rest.asked
    summary = f"{as_sql} questions asked as SQL, {by_gateway} through the gateway, differences {len(lines)}"
    sys.stdout.write("\n".join([page.render(found), *lines, summary, ""]))
    return 1 if lines else 0


if __name__ == "__main__":
    if "--write" in sys.argv:
        page.PATH.write_text(page.render(listed()), encoding="utf-8")
    else:
        sys.exit(asyncio.run(main()))
