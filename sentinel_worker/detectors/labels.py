"""Map a checkpoint's label names to P(fake): decide which outputs mean fake and which mean real, or refuse.

Checkpoints disagree about order and names, and some are published with the two swapped. A wrong guess inverts
every verdict, so nothing is assumed: names are recognised, an override decides, or loading fails.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sentinel_worker.domain.errors import Fatal

FAKE_WORDS = frozenset(
    {"ai", "artificial", "deepfake", "deepfakes", "fake", "fakes", "generated", "manipulated"}
    | {"spoof", "spoofed", "synthetic"}
)
REAL_WORDS = frozenset({"bonafide", "human", "live", "real", "realism"})
_NEGATIONS = frozenset({"no", "non", "not", "un", "without"})
_TWO_CLASSES = 2

LabelSource = Literal["override", "names", "complement"]
_Meaning = Literal["fake", "real"]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Indices of the fake and the real outputs, which together are all outputs, and how they were decided."""

    fake_indices: tuple[int, ...]
    real_indices: tuple[int, ...]
    source: LabelSource


def map_labels(names: Mapping[int, str], fake_indices: Sequence[int] | None = None) -> LabelMap:
    """Decide the polarity of a classifier with output names `names` (index to name, from 0).

    1. `fake_indices`, if given, win; every other output is real. 2. Otherwise the whole words of each
    name are looked up. 3. P(fake) is the fakes' share of fakes and reals (`logits` are compared by
    log-sum-exp). 4. If one of two outputs is recognised, the other is its complement. 5. Anything else
    raises Fatal('label_polarity_unknown').
    """
    if sorted(names) != list(range(len(names))) or len(names) < _TWO_CLASSES:
        raise Fatal("label_polarity_unknown", f"The checkpoint's labels are not a list of classes: {dict(names)}.")
    if fake_indices is not None:
        return _override(names, fake_indices)
    meanings = {index: label_meaning(name) for index, name in names.items()}
    known = {meaning for meaning in meanings.values() if meaning}
    unknown = [index for index, meaning in meanings.items() if meaning is None]
    source: LabelSource = "names"
    if len(names) == _TWO_CLASSES and len(unknown) == 1:
        meanings[unknown[0]] = "real" if known == {"fake"} else "fake"
        source, unknown = "complement", []
    fakes = tuple(sorted(index for index, meaning in meanings.items() if meaning == "fake"))
    reals = tuple(sorted(index for index, meaning in meanings.items() if meaning == "real"))
    if unknown or not fakes or not reals:
        raise Fatal(
            "label_polarity_unknown",
            f"The checkpoint's labels {dict(names)} do not say which of them mean fake; "
            "set the detector's fake_indices.",
        )
    return LabelMap(fakes, reals, source)


def label_meaning(name: str) -> _Meaning | None:
    """Return the meaning of a label name by its whole words; None if it has none, has both, or contains a negation."""
    words = [word for word in re.split(r"[^0-9a-z]+", name.casefold()) if word]
    if not _NEGATIONS.isdisjoint(words):
        return None
    words.append("".join(words))
    fake = not FAKE_WORDS.isdisjoint(words)
    real = not REAL_WORDS.isdisjoint(words)
    if fake == real:
        return None
    return "fake" if fake else "real"


def check_polarity(fake_logits: Sequence[float], real_logits: Sequence[float]) -> None:
    """Raise Fatal('label_polarity_inverted') if known fakes score below known reals on average.

    Logits are log-odds of being fake of labelled clips, scored at startup. Raises ValueError unless both classes
    are given.
    """
    if not fake_logits or not real_logits:
        raise ValueError("a polarity check needs fakes and reals")
    fake = math.fsum(fake_logits) / len(fake_logits)
    real = math.fsum(real_logits) / len(real_logits)
    if not fake > real:
        raise Fatal(
            "label_polarity_inverted",
            f"The detector scores known fakes ({fake:.2f}) below known reals ({real:.2f}): "
            "its labels are probably swapped; set the detector's fake_indices.",
        )


def _override(names: Mapping[int, str], fake_indices: Sequence[int]) -> LabelMap:
    fakes = tuple(sorted(set(fake_indices)))
    reals = tuple(index for index in range(len(names)) if index not in fakes)
    if not fakes or not reals or not set(fakes) <= set(names):
        raise Fatal(
            "label_polarity_unknown",
            f"fake_indices {list(fake_indices)} do not fit a checkpoint with {len(names)} labels.",
        )
    return LabelMap(fakes, reals, "override")
