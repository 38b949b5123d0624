"""Pictures for people, made by a real child: one that cannot be made is left out, unless the machine is at fault."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.errors import Transient
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.inference.derived_media import derive, pictures
from sentinel_worker.media.zygote import Zygote
from tests.machines import filled, small_disk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def keep(_: str, file: Path) -> str:
    return file.name


async def test_a_child_that_answered_wrongly_makes_no_more_pictures(
    zygote: Zygote, clips: dict[str, Path], tmp_path: Path
) -> None:
    """The second one is not the name of a derived file, which is treated like an invalid answer."""
    film = Path(shutil.copy(clips["bikes.mp4"], tmp_path / "media"))
    async with zygote.open(film, tmp_path, MediaLimits()) as child:
        await child.probe()
        wanted = dict.fromkeys(("thumbnail", "../thumbnail", "worst_frame"), Still(0.0))
        assert await derive(pictures(child, wanted), keep, nullcontext()) == {"thumbnail": "thumbnail.webp"}


async def test_a_full_disk_is_not_taken_for_a_picture_that_cannot_be_made(
    zygote: Zygote, clips: dict[str, Path], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        film = Path(shutil.copy(clips["bikes.mp4"], disk / "media"))
        async with zygote.open(film, disk, MediaLimits()) as child:
            await child.probe()
            with filled(disk), pytest.raises(Transient, match="disk_full"):
                await derive(pictures(child, {"thumbnail": Still(0.0)}), keep, nullcontext())
