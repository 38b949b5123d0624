"""A reload that is asked for while another one runs is not answered by that one: it may have read the old schema."""

import asyncio
from typing import cast

from sentinel_local_supabase.database import Pool
from sentinel_local_supabase.rest.schema import Schema, SchemaCache


class Slow(SchemaCache):
    """Its loads are counted, and end when they are released."""

    def __init__(self) -> None:
        super().__init__(cast("Pool", None), "", ("public",))
        self.loads = 0
        self.began = asyncio.Event()
        self.released = asyncio.Event()

    async def _load(self) -> Schema:
        self.loads += 1
        self.began.set()
        await self.released.wait()
        return Schema()


async def test_a_reload_during_a_load_loads_again() -> None:
    cache = Slow()
    first = asyncio.create_task(cache.reload())
    await cache.began.wait()
    others = [asyncio.create_task(cache.reload()) for _ in range(3)]
    await asyncio.sleep(0)  # one turn of the loop, in which they ask
    cache.released.set()
    before, *after = await asyncio.gather(first, *others)
    assert cache.loads == 2
    assert all(one is after[0] and one is not before for one in after)
