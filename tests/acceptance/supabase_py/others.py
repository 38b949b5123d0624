"""Visibility to other users, and a subscription when its token expires."""

import asyncio
from typing import Any
from uuid import uuid4

from realtime.types import RealtimePostgresChangesListenEvent as Event

from tests.acceptance.supabase_py import frontend
from tests.acceptance.supabase_py.stage import LATER, Listening, Stage, refused, storage_refused


async def privacy(stage: Stage) -> None:
    owner, stranger, nobody = await stage.user(), await stage.user(), await stage.client()
    request_id = str(uuid4())
    overheard: list[dict[str, Any]] = []
    deletion: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def hear(change: dict[str, Any]) -> None:
        if change["type"] != "DELETE":
            overheard.append(change)
        elif change["old_record"].get("id") == request_id and not deletion.done():
            deletion.set_result(change)

    rumours: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await Listening(hear).start(stranger.supabase, Event.All)
    await Listening(rumours.put_nowait).start(nobody, Event.All)
    film = stage.films / "bikes.mp4"
    path = await frontend.upload(owner.supabase, frontend.path_for(owner.id, film), film)
    await frontend.submit(owner.supabase, {"id": request_id, "storage_path": path, "run_at": LATER})

    supabase = stranger.supabase
    for table in ("analysis_requests", "analysis_results"):
        assert (await supabase.table(table).select("*").execute()).data == []
        await refused(nobody.table(table).select("*").execute(), "42501")
    media = supabase.storage.from_("media")
    assert await media.list(owner.id) == []
    for name in ("cancel_analysis", "retry_analysis", "delete_analysis"):
        assert await frontend.call(supabase, name, request_id) == "not_found"
    await storage_refused(media.download(path), "404")
    await storage_refused(frontend.signed_url(supabase, "media", path), "404")
    await storage_refused(frontend.upload_ticket(supabase, path), "403")
    assert await media.remove([path]) == []
    await storage_refused(nobody.storage.from_("media").download(path), "404")

    assert await frontend.call(owner.supabase, "delete_analysis", request_id) == "deleted"
    assert (await deletion)["old_record"] == {"id": request_id}
    assert overheard == []
    rumour = await rumours.get()
    # supabase-py drops messages with an error, so this is the deletion.
    assert rumour.get("record", {}) == rumour.get("old_record", {}) == {}


async def token_refresh(stage: Stage) -> None:
    """`parameters` have an account's sign-in, and its token that expires in a few seconds."""
    email, password = stage.parameters["email"], stage.parameters["password"]
    keeper, lapser = await stage.signed_in(email, password), await stage.signed_in(email, password)
    row = {"storage_path": f"{keeper.id}/film.mp4", "run_at": LATER}
    request_id = (await frontend.submit(keeper.supabase, row))["id"]
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    overheard: list[dict[str, Any]] = []
    kept, lapsed = Listening(heard.put_nowait), Listening(overheard.append)
    for person, listening in ((keeper, kept), (lapser, lapsed)):
        await person.supabase.realtime.set_auth(stage.parameters["token"])
        await listening.start(person.supabase, Event.Update)
    # Within the same second an unchanged token would be identical.
    await keeper.supabase.auth.update_user({"data": {"news": True}})
    await keeper.supabase.auth.refresh_session()
    await lapsed.closed.wait()
    assert await frontend.call(keeper.supabase, "cancel_analysis", request_id) == "cancelled"
    assert (await heard.get())["record"]["status"] == "cancelled"
    assert not kept.closed.is_set()
    assert overheard == []
