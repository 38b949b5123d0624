"""A site that exists only in tests: its extractor, and the program of a child process that knows it.

A post's page decides its behaviour: `/api/<id>` returns JSON that the extractor follows.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yt_dlp import globals as yt_dlp_globals
from yt_dlp.extractor import gen_extractor_classes
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import ExtractorError, UserNotLive

from sentinel_worker.confine import bare_process
from sentinel_worker.sources.social import child_main

SITE = "imitation"
HOST = "imitation.test"
BOOT = bare_process.program(__name__)


class ImitationIE(InfoExtractor):  # type: ignore[misc]
    """Does what the post's page says."""

    _VALID_URL = r"https?://imitation\.test(?::\d+)?/post/(?P<id>\w+)"
    IE_NAME = SITE

    def _real_extract(self, url: str) -> Any:
        post = self._match_id(url)
        base = url.partition("/post/")[0]
        page = self._download_json(f"{base}/api/{post}", post)
        do = page.pop("do", "video")
        return getattr(self, f"_do_{do}")(base, post, page)

    def _do_video(self, base: str, post: str, page: dict[str, Any]) -> dict[str, Any]:
        return {"id": post, "title": post, **page}

    def _do_fail(self, base: str, post: str, page: dict[str, Any]) -> None:
        raise ExtractorError(page["sentence"], expected=True)

    def _do_login(self, base: str, post: str, page: dict[str, Any]) -> None:
        self.raise_login_required()

    def _do_elsewhere(self, base: str, post: str, page: dict[str, Any]) -> None:
        self.raise_geo_restricted(countries=["FR"])

    def _do_not_live(self, base: str, post: str, page: dict[str, Any]) -> None:
        raise UserNotLive(video_id=post)

    def _do_script(self, base: str, post: str, page: dict[str, Any]) -> None:
        """Imitate yt-dlp's YouTube extractor without deno."""
        self.report_warning(
            "No supported JavaScript runtime could be found. Only deno is enabled by default; to use another runtime "
            "add  --js-runtimes RUNTIME[:PATH]  to your command/config."
        )
        self.raise_no_formats("No video formats found!", expected=True)

    def _do_list(self, base: str, post: str, page: dict[str, Any]) -> Any:
        return self.playlist_result([self.url_result(f"{base}/post/{name}") for name in page["posts"]], post)

    def _do_another(self, base: str, post: str, page: dict[str, Any]) -> Any:
        return self.url_result(page["url"], ie=page.get("ie"))

    def _do_another_by_hand(self, base: str, post: str, page: dict[str, Any]) -> Any:
        """Look up another extractor as some do, which makes yt-dlp allow it."""
        self._downloader.get_info_extractor("Generic")
        return self.url_result(page["url"], ie="Generic")

    def _do_crash(self, base: str, post: str, page: dict[str, Any]) -> None:
        os._exit(3)

    def _do_hang(self, base: str, post: str, page: dict[str, Any]) -> None:
        threading.Event().wait()

    def _do_fill(self, base: str, post: str, page: dict[str, Any]) -> None:
        for number in itertools.count():
            folder = Path(f"folder-{number % 7}")
            folder.mkdir(exist_ok=True)
            (folder / str(number)).write_bytes(bytes(page["bytes_each"]))

    def _do_fill_with_nothing(self, base: str, post: str, page: dict[str, Any]) -> None:
        for number in itertools.count():
            Path(str(number)).touch()

    def _do_go_deep(self, base: str, post: str, page: dict[str, Any]) -> None:
        """Make a chain of folders, the last of them without permissions."""
        for _ in range(page["levels"]):
            Path("d").mkdir()
            os.chdir("d")
        Path("shut").mkdir(mode=0)
        threading.Event().wait()

    def _do_claim_a_full_disk(self, base: str, post: str, page: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def _do_misbehave(self, base: str, post: str, page: dict[str, Any]) -> Any:
        """Try what a hijacked process would, and report the results to the site."""
        found = {name: attempt(work) for name, work in _tries(page).items()}
        self._download_webpage(f"{base}/report", post, data=json.dumps(found).encode())
        raise ExtractorError("reported", expected=True)


def _tries(page: dict[str, Any]) -> dict[str, Callable[[], object]]:
    victim = ("127.0.0.1", page["port"])
    return {
        "tcp": lambda: socket.create_connection(victim, 2),
        "tcp6": lambda: socket.create_connection(("::1", page["port"]), 2),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", victim),
        "unix": lambda: socket.socket(socket.AF_UNIX).connect(page["unix"]),
        "datagram by a pair": lambda: _datagrams().sendto(b"x", page["log"]),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
        "name": lambda: socket.getaddrinfo("localhost.test", 80),
        "exec": lambda: subprocess.run(["/bin/true"], check=False),
        "fork": os.fork,
        "read": lambda: Path(page["secret"]).read_text(),
        "write": lambda: Path(page["beside"]).write_text("x"),
        "chmod": lambda: os.chmod("..", 0o500),  # noqa: PTH101 the bare call
        "utime": lambda: os.utime("..", (1, 1)),
        "setxattr": lambda: os.setxattr("..", "user.x", b"x"),
        "environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "kill": lambda: os.kill(os.getppid(), 0),
        "big": lambda: Path("big").write_bytes(bytes(page["limit_bytes"] + 1)),
        "memory": lambda: bytearray(2 * 1024**3),
        "thread": lambda: threading.Thread(target=int).start(),
        "own environment": lambda: os.environ["PATH"],
        "arguments": lambda: next(one for one in Path("/proc/self/cmdline").read_text().split("\0") if "post" in one),
    }


def _datagrams() -> socket.socket:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]


def attempt(work: Callable[[], object]) -> str:
    """Return the result in one word."""
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    except Exception as error:  # noqa: BLE001 whatever it is, its name is the answer
        return type(error).__name__
    return "done"


def register() -> None:
    """Register the site with yt-dlp in this process."""
    gen_extractor_classes()
    known = yt_dlp_globals.extractors.value
    if "ImitationIE" not in known:
        yt_dlp_globals.extractors.value = {"ImitationIE": ImitationIE, **known}


def main(connection_fd: int, parent: int) -> None:
    """Run the child process."""
    register()
    child_main.main(connection_fd, parent)
