"""Face detection by CenterFace (`face_model/README.md`), on one thread.

The session is made in the zygote, before the fork, so a child opens no file for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]

from sentinel_worker.domain.machine_errors import out_of_memory

MODEL_PATH: Final = Path(__file__).with_name("face_model") / "centerface.onnx"
SIDE_MULTIPLE: Final = 32
"""The sides of a searched picture are multiples of this many pixels."""

_STRIDE: Final = 4
_SAME_FACE_IOU: Final = 0.3
# More cells than this above the score are a pattern, not a crowd; only the best are examined.
_MAX_CELLS: Final = 1024
_ERRORS_ONLY: Final = 3

Boxes = npt.NDArray[np.float32]
"""[N, 4]: left, top, right, bottom in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Boxes, the surest first, and the confidence of each (float32 [N], 0 to 1)."""

    boxes: Boxes
    scores: npt.NDArray[np.float32]


class CenterFace:
    """A session of the model. `find` may be called in a process that was forked after the session was made."""

    def __init__(self) -> None:
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # An arena keeps the memory of the largest picture for ever.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(MODEL_PATH), options, providers=["CPUExecutionProvider"])

    def find(self, picture: npt.NDArray[np.uint8], min_score: float) -> Found:
        """Find the faces in uint8 RGB [3, H, W]; both sides are multiples of `SIDE_MULTIPLE`."""
        heatmap, size, offset = self._run(picture)
        rows, columns = np.nonzero(heatmap >= min_score)
        best = np.argsort(-heatmap[rows, columns], kind="stable")[:_MAX_CELLS]
        rows, columns = rows[best], columns[best]
        scores = heatmap[rows, columns]
        # Each cell of the map gives the face's centre relative to its own, and the logarithms of the face's sides.
        high, wide = np.exp(np.minimum(size[:, rows, columns], 8.0)) * _STRIDE
        middle_y = (rows + offset[0, rows, columns] + 0.5) * _STRIDE
        middle_x = (columns + offset[1, rows, columns] + 0.5) * _STRIDE
        corners = [middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2]
        height, width = picture.shape[1:]
        boxes = np.clip(np.stack(corners, axis=1), 0, [width, height, width, height]).astype(np.float32)
        kept = _suppress(boxes)
        return Found(boxes[kept], scores[kept])

    def _run(self, picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        try:
            outputs = self._session.run(["heatmap", "size", "offset"], {"pixels": picture[None].astype(np.float32)})
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise
        heatmap, size, offset = (np.asarray(output, dtype=np.float32)[0] for output in outputs)
        return heatmap[0], size, offset


@cache
def face_model() -> CenterFace:
    """Return the session of this process."""
    return CenterFace()


def overlap(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of each of `boxes` with each of `others`, [N, M]."""
    corner_low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    corner_high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(corner_high - corner_low, 0, None).prod(axis=2)
    union = area(boxes)[:, None] + area(others)[None, :] - shared
    result: npt.NDArray[np.float32] = shared / np.maximum(union, np.float32(1e-9))
    return result


def area(boxes: Boxes) -> npt.NDArray[np.float32]:
    """Area of each box, in square pixels."""
    result: npt.NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return result


def _suppress(boxes: Boxes) -> list[int]:
    """Keep the surest of overlapping boxes; `boxes` are sorted by score."""
    shares = overlap(boxes, boxes)
    left = np.ones(len(boxes), dtype=bool)
    kept = []
    for index in range(len(boxes)):
        if left[index]:
            kept.append(index)
            left &= shares[index] < _SAME_FACE_IOU
    return kept
