"""Questions over HTTP on /storage/v1: every operation on objects, in every place, by every identity."""

from collections.abc import Awaitable, Mapping, Sequence
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx

from tests.rights import as_resumable as resumable
from tests.rights.matrix import Matrix
from tests.rights.world import PLACES, USER_A, WORKER_ROLE, Identity

# The status in the body: Storage responds to nearly every error with 400.
REFUSED = ("400", "403", "404")
OLD, NEW = b"old", b"new"
_numbers = count(1)


class ObjectQuestions:
    """All questions to one identity about objects.

    `client` sends its headers, `service` those of service_role; both have the gateway's URL as their base. Each
    question has its own object; after a refusal service_role checks that nothing changed."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        service: httpx.AsyncClient,
        identity: Identity,
        places: Mapping[str, tuple[str, str]] = PLACES,
    ) -> None:
        self._client = client
        self._service = service
        self._who = identity
        self._places = places
        self._matrix = Matrix()
        # The other end of a move or copy: the place where this identity has the most rights.
        self._home = ("derived" if identity is WORKER_ROLE else "media", f"{identity.user or USER_A}/")

    async def ask_all(self) -> Matrix:
        """Ask about all places and operations."""
        for name, (bucket, folder) in self._places.items():
            self._place, self._bucket, self._folder = name, bucket, folder
            for letter, question in {
                "L": self._list,
                "R": self._read,
                "N": self._store,
                "O": self._overwrite,
                "T": self._resume,
                "W": self._sign_upload,
                "M": self._move_away,
                "C": self._copy_away,
                "V": self._move_here,
                "K": self._copy_here,
                "D": self._remove,
            }.items():
                self._note(letter, await question())
        return self._matrix

    def _note(self, letter: str, answers: Sequence[bool]) -> None:
        """Note one right; all ways of using it must have the same answer."""
        if len(set(answers)) > 1:
            self._matrix.unclear.append(f"{self._who.name}, {letter} on {self._place}: {answers}")
        self._matrix.add("objects", self._place, self._who.name, letter if all(answers) else "")

    async def _list(self) -> list[bool]:
        key = await self._existing()
        name = key.removeprefix(self._folder)
        body = {"prefix": self._folder, "limit": 1000, "search": name}
        level = await self._ask("POST", f"/object/list/{self._bucket}", json=body)
        page = await self._ask("POST", f"/object/list-v2/{self._bucket}", json={"prefix": key})
        return [
            self._is_allowed(level) and name in {one["name"] for one in level.json()},
            self._is_allowed(page) and key in {one["name"] for one in page.json()["objects"]},
        ]

    async def _read(self) -> list[bool]:
        key = await self._existing()
        path = f"{self._bucket}/{quote(key)}"
        ways = [
            *[await self._ask("GET", f"/object/{kind}{path}") for kind in ("authenticated/", "", "info/")],
            await self._ask("HEAD", f"/object/{path}"),
            (signed := await self._ask("POST", f"/object/sign/{path}", json={"expiresIn": 60})),
        ]
        answers = [self._is_allowed(answer) for answer in ways]
        if answers[-1]:
            opened = await self._service.get(f"/storage/v1{signed.json()['signedURL']}", headers={"apikey": ""})
            answers.append(opened.content == OLD)
        many = await self._ask("POST", f"/object/sign/{self._bucket}", json={"expiresIn": 60, "paths": [key]})
        answers.append(self._is_allowed(many) and many.json()[0]["signedURL"] is not None)
        public = await self._ask("GET", f"/object/public/{path}")
        if self._is_allowed(public):
            self._matrix.unclear.append(f"{self._who.name} reads {path} publicly")
        return answers

    async def _store(self) -> list[bool]:
        answers = []
        for method, upsert in (("POST", "false"), ("POST", "true"), ("PUT", "false")):
            key = self._new()
            answer = await self._ask(method, f"/object/{self._bucket}/{key}", content=NEW, headers={"x-upsert": upsert})
            answers.append(await self._held(answer, self._bucket, key, NEW, None))
        return answers

    async def _overwrite(self) -> list[bool]:
        answers = []
        for method in ("POST", "PUT"):
            key = await self._existing()
            answer = await self._ask(method, f"/object/{self._bucket}/{key}", content=NEW, headers={"x-upsert": "true"})
            answers.append(await self._held(answer, self._bucket, key, NEW, OLD))
        key = await self._existing()
        exists = await self._ask("POST", f"/object/{self._bucket}/{key}", content=NEW)
        if exists.is_success or await self._content(self._bucket, key) != OLD:
            self._matrix.unclear.append(f"{self._who.name} overwrote {key} without asking for it")
        return answers

    async def _resume(self) -> list[bool]:
        key, size = self._new(), len(NEW)
        begun = await self._tus(resumable.begin(self._client, self._bucket, key, size))
        ended = await self._tus(resumable.send(self._client, begun, NEW)) if begun.is_success else begun
        answers = [await self._held(ended, self._bucket, key, NEW, None)]
        # An upload that service_role began: finishing and aborting it require the same right.
        key = self._new()
        foreign = await resumable.begin(self._service, self._bucket, key, size)
        taken = await self._tus(resumable.send(self._client, foreign, NEW))
        answers.append(await self._held(taken, self._bucket, key, NEW, None))
        foreign = await resumable.begin(self._service, self._bucket, self._new(), size)
        answers.append(self._is_allowed(await self._tus(resumable.forget(self._client, foreign))))
        return answers

    async def _sign_upload(self) -> list[bool]:
        key, no_key = self._new(), {"apikey": ""}
        path = f"/object/upload/sign/{self._bucket}/{key}"
        signed = await self._ask("POST", path)
        if not self._is_allowed(signed):
            return [False]
        token = signed.json()["token"]
        put = await self._service.put(f"/storage/v1{path}", params={"token": token}, content=NEW, headers=no_key)
        answers = [await self._held(put, self._bucket, key, NEW, None)]
        await self._service.delete(f"/storage/v1/object/{self._bucket}/{key}")
        signature = {"x-signature": token, **no_key}
        begun = await self._tus(resumable.begin(self._service, self._bucket, key, len(NEW), **signature))
        ended = await self._tus(resumable.send(self._service, begun, NEW, **signature))
        return [*answers, await self._held(ended, self._bucket, key, NEW, None)]

    async def _tus(self, asked: Awaitable[httpx.Response]) -> httpx.Response:
        self._matrix.asked += 1
        return await asked

    async def _move_away(self) -> list[bool]:
        return await self._transfer("move", (self._bucket, self._folder), self._home)

    async def _copy_away(self) -> list[bool]:
        return await self._transfer("copy", (self._bucket, self._folder), self._home)

    async def _move_here(self) -> list[bool]:
        return await self._transfer("move", self._home, (self._bucket, self._folder))

    async def _copy_here(self) -> list[bool]:
        return await self._transfer("copy", self._home, (self._bucket, self._folder))

    async def _transfer(self, verb: str, start: tuple[str, str], end: tuple[str, str]) -> list[bool]:
        key, new = await self._existing(*start), self._new(end[1])
        body = {"bucketId": start[0], "sourceKey": key, "destinationBucket": end[0], "destinationKey": new}
        answer = await self._ask("POST", f"/object/{verb}", json=body)
        allowed = await self._held(answer, end[0], new, OLD, None)
        left = None if allowed and verb == "move" else OLD
        if await self._content(start[0], key) != left:
            self._matrix.unclear.append(
                f"{self._who.name}, {verb} from {start[0]}/{key}: the source is not as it should"
            )
        return [allowed]

    async def _remove(self) -> list[bool]:
        answers = []
        key = await self._existing()
        many = await self._ask("DELETE", f"/object/{self._bucket}", json={"prefixes": [key]})
        removed = self._is_allowed(many) and [one["name"] for one in many.json()] == [key]
        answers.append(removed and await self._content(self._bucket, key) is None)
        if not removed and await self._content(self._bucket, key) != OLD:
            self._matrix.unclear.append(f"{self._who.name} was refused to remove {key}, and it is gone")
        key = await self._existing()
        one = await self._ask("DELETE", f"/object/{self._bucket}/{key}")
        answers.append(await self._held(one, self._bucket, key, None, OLD))
        return answers

    async def _held(
        self, answer: httpx.Response, bucket: str, key: str, if_allowed: bytes | None, if_refused: bytes | None
    ) -> bool:
        """Return True if `answer` allows, and check that the object is in the state that it implies."""
        allowed = self._is_allowed(answer)
        content = await self._content(bucket, key)
        if content != (if_allowed if allowed else if_refused):
            line = f"{self._who.name}, {answer.request.method} {answer.request.url.path}: {answer.status_code}, "
            self._matrix.unclear.append(f"{line}but the object holds {content!r}")
        return allowed

    async def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        self._matrix.asked += 1
        return await self._client.request(method, f"/storage/v1{path}", **arguments)

    def _is_allowed(self, answer: httpx.Response) -> bool:
        if "tus-resumable" in answer.headers:  # responds in plain text, with a true HTTP status
            refused = answer.status_code == httpx.codes.FORBIDDEN
        else:
            refused = answer.status_code == httpx.codes.BAD_REQUEST and (
                answer.request.method == "HEAD" or answer.json()["statusCode"] in REFUSED
            )
        if not (answer.is_success or refused):
            self._matrix.unclear.append(f"{self._who.name}: {answer.request.method} {answer.url}: {answer.text}")
        return answer.is_success

    def _new(self, folder: str | None = None) -> str:
        return f"{self._folder if folder is None else folder}{next(_numbers)}.bin"

    async def _existing(self, bucket: str | None = None, folder: str | None = None) -> str:
        key = self._new(folder)
        stored = await self._service.post(f"/storage/v1/object/{bucket or self._bucket}/{key}", content=OLD)
        stored.raise_for_status()
        return key

    async def _content(self, bucket: str, key: str) -> bytes | None:
        answer = await self._service.get(f"/storage/v1/object/authenticated/{bucket}/{key}")
        return answer.content if answer.is_success else None
