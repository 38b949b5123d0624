"""Rewrite CenterFace for any picture size: `python -m examples.face_model.rewrite ORIGINAL.onnx OUT.onnx`.

The original declares 10 pictures of 32 x 32 pixels and names its outputs 537 to 540; the graph itself takes any
sides that are multiples of 32. Only the declared dimensions and names change, and unused weights are removed.
Needs `pip install onnx`, unlike the worker.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import onnx

SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
NAMES = {"input.1": "pixels", "537": "heatmap", "538": "size", "539": "offset", "540": "landmarks"}
IR_VERSION = 8


def rewrite(original: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation with named outputs, for a picture [1, 3, height, width]."""
    model = onnx.ModelProto()
    model.CopyFrom(original)
    model.ir_version = IR_VERSION
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    read = {name for node in graph.node for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        node.input[:] = [NAMES.get(name, name) for name in node.input]
        node.output[:] = [NAMES.get(name, name) for name in node.output]
    for value in graph.input:
        _declare(value, "height", "width")
    for value in graph.output:
        _declare(value, "height / 4", "width / 4")
    onnx.checker.check_model(model)
    return model


def _declare(value: onnx.ValueInfoProto, height: str, width: str) -> None:
    value.name = NAMES[value.name]
    batch, _, rows, columns = value.type.tensor_type.shape.dim
    batch.dim_value = 1
    rows.dim_param, columns.dim_param = height, width


def main() -> None:
    """Check the original's hash, rewrite it, and print the hash of the result."""
    original, out = (Path(argument) for argument in sys.argv[1:3])
    content = original.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{original} has an unexpected SHA-256")
    written = rewrite(onnx.load_from_string(content)).SerializeToString(deterministic=True)
    out.write_bytes(written)
    print(hashlib.sha256(written).hexdigest())


if __name__ == "__main__":
    main()
