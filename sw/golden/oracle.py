"""The reference to agree with: TFLite's own kernels, where ``ai-edge-litert`` is installed. For tests only.

Exactly version 1.2.0 with the reference resolver and one thread; other versions, resolvers and
delegates round differently.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

VERSION = "1.2.0"


def available() -> bool:
    """Whether the one version whose bytes are the reference can be imported."""
    try:
        from importlib.metadata import PackageNotFoundError, version

        import ai_edge_litert.interpreter  # noqa: F401

        return version("ai-edge-litert") == VERSION
    except (ImportError, PackageNotFoundError):
        return False


def oracle_tensors(model: str | Path | bytes, value: np.ndarray) -> dict[int, np.ndarray]:
    """The value of every tensor of ``model`` (a path, or a file's bytes) after one run on ``value``.

    Raises ImportError without ``ai-edge-litert``, and what the interpreter raises for a model it refuses.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    source: dict[str, Any] = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    interpreter = Interpreter(
        **source,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        num_threads=1,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    tensors = {}
    for detail in interpreter.get_tensor_details():
        try:
            tensors[detail["index"]] = interpreter.get_tensor(detail["index"])
        except ValueError:  # a tensor without memory, such as an absent optional one
            continue
    return tensors
