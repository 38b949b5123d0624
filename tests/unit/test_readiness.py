"""The notice that broadcasts from the database arrive is given once, when they do."""

import asyncio

from sentinel_local_supabase.realtime.readiness import ReadinessNotice


async def test_the_notice_waits_for_the_stream() -> None:
    streaming, told = asyncio.Event(), asyncio.Event()
    messages: list[str] = []

    def tell(message: str) -> None:
        messages.append(message)
        told.set()

    first, second = (ReadinessNotice(streaming, tell, messages.append) for _ in range(2))
    first.start()
    second.start()
    await asyncio.sleep(0)  # one turn of the loop, in which both begin to wait
    second.cancel()
    assert messages == []
    streaming.set()
    await told.wait()
    assert messages == ["Replication connection established"]


async def test_a_stream_that_does_not_come_ends_the_channel() -> None:
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    notice = ReadinessNotice(asyncio.Event(), lambda _: None, ended.set_result, limit_seconds=0.0)
    notice.start()
    assert await ended == "Replication connection was not established in time"
