"""Answers that files must get: facts by name, each compared with the fact that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Fact = object
"""A word, a number, True or False; in expectations also `Among`, `Between` or `Says`."""
Facts = Mapping[str, Fact]

# The last packet of a sound is longer than what it was made from.
_SLACK_SECONDS, _SLACK_SHARE = 0.07, 0.01


@dataclass(frozen=True, slots=True)
class Among:
    """One of these words."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(self.words)


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Says:
    """A sentence that contains all of these words, in any case."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return " … ".join(self.words)


NOT_REAL: Final = Among(("fake", "uncertain"))
JUDGED: Final = Among(("real", "fake", "uncertain"))


def film(verdict: Fact, seconds: Fact, **facts: Fact) -> Facts:
    """Pictures that follow each other, judged by the demo detector."""
    return {"kind": "video", "verdict": verdict, "seconds": seconds, "truncated": False, **facts}


def sound(seconds: Fact, heard: Fact = "whole", **facts: Fact) -> Facts:
    """Only sound, all of which can be heard."""
    return {"kind": "audio", "sound_seconds": seconds, "heard": heard, "truncated": False, **facts}


def picture(colour: str | None = None, **facts: Fact) -> Facts:
    """One picture that is shown, mostly of this colour."""
    return {"kind": "image", "truncated": False, **({"colour": colour} if colour else {}), **facts}


def refused(code: str, *words: str) -> Facts:
    """Refused with this code, in a sentence that contains these words."""
    return {"refused": code, "sentence": Says(words)}


def differences(expected: Facts, found: Facts) -> list[str]:
    """Name each expected fact that was not found, with both values."""
    return [
        f"{name} is {shown(found.get(name))} instead of {shown(wanted)}"
        for name, wanted in expected.items()
        if not _fits(wanted, found.get(name))
    ]


def _fits(wanted: Fact, found: Fact) -> bool:
    match wanted:
        case Among(words):
            return found in words
        case Between(low, high):
            return isinstance(found, int | float) and low <= found <= high
        case Says(words):
            return isinstance(found, str) and all(word.lower() in found.lower() for word in words)
        case float():
            slack = max(_SLACK_SECONDS, _SLACK_SHARE * wanted)
            return isinstance(found, int | float) and abs(found - wanted) <= slack
        case _:
            return found == wanted and type(found) is type(wanted)


def shown(fact: Fact) -> str:
    """The fact as a reader of a table wants it."""
    match fact:
        case bool():
            return "yes" if fact else "no"
        case float():
            return f"{fact:.4g}"
        case _:
            return str(fact)


def described(facts: Facts) -> str:
    """All facts in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {shown(fact)}" for name, fact in facts.items())
