"""Turns a file into a hostile one. Every choice comes from the given generator, so that a seed repeats it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from tests.fuzz.fields import fields, with_checksums

_MAX_BYTES = 512 * 1024
_MAX_FLIPS = 64
_MAX_BLOCK = 2048
_MAX_STEPS = 3
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 10**5, 10**6, 10**9, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Mutation = Callable[[bytes, bytes, random.Random], bytes]
"""(content, another file's content, choices) → content."""


def mutated(corpus: Mapping[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """File `number` of the run with this `seed`: a description of the mutation, and the result."""
    choices = random.Random(f"{seed}:{number}")
    names = sorted(corpus)
    name, other = choices.choice(names), choices.choice(names)
    content, steps = corpus[name], []
    for _ in range(choices.randint(1, _MAX_STEPS)):
        kind = choices.choice(sorted(MUTATIONS))
        content = MUTATIONS[kind](content, corpus[other], choices)[:_MAX_BYTES]
        steps.append(kind)
    if choices.random() < 0.8:
        content = with_checksums(content)
    return f"{name}: {', '.join(steps)} (other: {other})", content


def _flip_bits(content: bytes, other: bytes, choices: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(choices.randint(1, _MAX_FLIPS) if changed else 0):
        changed[_place(changed, choices)] ^= 1 << choices.randrange(8)
    return bytes(changed)


def _set_bytes(content: bytes, other: bytes, choices: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(choices.randint(1, 8) if changed else 0):
        changed[_place(changed, choices)] = choices.choice(_BYTES)
    return bytes(changed)


def _set_number(content: bytes, other: bytes, choices: random.Random) -> bytes:
    place, width = _place(content, choices), choices.choice((2, 4, 8))
    return _put(content, place, width, _number(width, choices), big=choices.random() < 0.5)


def _set_field(content: bytes, other: bytes, choices: random.Random) -> bytes:
    """Make a length or count wrong: slightly, greatly, or absurdly."""
    known = fields(content)
    if not known:
        return _set_number(content, other, choices)
    changed = content
    for field in choices.sample(known, min(len(known), choices.randint(1, 3))):
        order = "big" if field.big else "little"
        now = int.from_bytes(content[field.offset : field.offset + field.width], order)  # type: ignore[arg-type]
        wanted = choices.choice((now + 1, now - 1, now * 2, now // 2, _number(field.width, choices)))
        changed = _put(changed, field.offset, field.width, wanted % (1 << 8 * field.width), big=field.big)
    return changed


def _truncate(content: bytes, other: bytes, choices: random.Random) -> bytes:
    return content[: choices.randint(1, max(1, len(content)))]


def _delete_block(content: bytes, other: bytes, choices: random.Random) -> bytes:
    start, end = _block(content, choices)
    return content[:start] + content[end:] or content


def _repeat_block(content: bytes, other: bytes, choices: random.Random) -> bytes:
    start, end = _block(content, choices)
    return content[:end] + content[start:end] * choices.choice((1, 2, 50)) + content[end:]


def _move_block(content: bytes, other: bytes, choices: random.Random) -> bytes:
    start, end = _block(content, choices)
    rest = content[:start] + content[end:]
    place = choices.randint(0, len(rest))
    return rest[:place] + content[start:end] + rest[place:]


def _fill_block(content: bytes, other: bytes, choices: random.Random) -> bytes:
    start, end = _block(content, choices)
    filling = choices.choice((bytes(end - start), b"\xff" * (end - start), choices.randbytes(end - start)))
    return content[:start] + filling + content[end:]


def _insert(content: bytes, other: bytes, choices: random.Random) -> bytes:
    place = choices.randint(0, len(content))
    start, end = _block(other, choices)
    new = choices.choice((choices.randbytes(choices.randint(1, 64)), other[start:end]))
    return content[:place] + new + content[place:]


def _splice(content: bytes, other: bytes, choices: random.Random) -> bytes:
    return content[: choices.randint(1, max(1, len(content)))] + other[choices.randint(0, len(other)) :]


def _swap_header(content: bytes, other: bytes, choices: random.Random) -> bytes:
    length = choices.choice((4, 8, 12, 16, 32, 64, 512))
    return other[:length] + content[length:] or content


MUTATIONS: Mapping[str, Mutation] = {
    "flip bits": _flip_bits,
    "set bytes": _set_bytes,
    "set a number": _set_number,
    "a field lies": _set_field,
    "two fields lie": lambda content, other, choices: _set_field(_set_field(content, other, choices), other, choices),
    "truncate": _truncate,
    "delete a block": _delete_block,
    "repeat a block": _repeat_block,
    "move a block": _move_block,
    "fill a block": _fill_block,
    "insert": _insert,
    "splice": _splice,
    "swap the header": _swap_header,
}


def _place(content: Sequence[int], choices: random.Random) -> int:
    """Half of all changes hit the first kilobyte, where the headers are."""
    end = min(len(content), 1024) if choices.random() < 0.5 else len(content)
    return choices.randrange(max(1, end))


def _block(content: bytes, choices: random.Random) -> tuple[int, int]:
    start = _place(content, choices)
    return start, min(len(content), start + choices.randint(1, _MAX_BLOCK))


def _number(width: int, choices: random.Random) -> int:
    return choices.choice((*_NUMBERS, choices.getrandbits(8 * width))) % (1 << 8 * width)


def _put(content: bytes, place: int, width: int, number: int, *, big: bool) -> bytes:
    return content[:place] + number.to_bytes(width, "big" if big else "little") + content[place + width :]
