"""A network on a device, used like TensorFlow Lite's interpreter, or given pictures.

    interpreter = narrows.Device.open("sim").interpreter("net.tflite")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.board_device import Device
from narrows.compiler import Program
from narrows.device import Frame, Progress
from narrows.golden import as_input, run_post, run_pre
from narrows.image_input import ModelInput
from narrows.importer import import_network
from narrows.input_range import InputRange
from narrows.labels import names_for
from narrows.network import NarrowsError, Network
from narrows.runnable import runnable
from narrows.tflite_file import FileTensor


@dataclass(frozen=True)
class Answer:
    """A class of a picture: its ``index``, ``label`` if the model has names, the output's byte ``score`` and the number ``value`` it
    stands for."""

    index: int
    label: str | None
    score: int | float
    value: float


class Interpreter:
    """``model``, a .tflite file, compiled for ``device``'s engine and loaded there. Tensors go by their indices in the file.

    ``slices``, ``input_range``: see :func:`narrows.api.run_model`. ``frame``: the last frame with its cycles and each block's counters
    (:class:`narrows.device.Frame` says when they are the network's alone). Raises :class:`NarrowsError` for a model that can't be run
    exactly or does not fit.
    """

    def __init__(
        self, device: Device, model: str | Path | Network, *, slices: int | None = None, progress: Progress | None = None,
        input_range: tuple[float, float] | None = None,
    ) -> None:
        self._device = device
        self.network: Network = model if isinstance(model, Network) else import_network(Path(model))
        self._model = self.network.model
        self._names = None if isinstance(model, Network) else names_for(model, None, self._model)[0]
        self._input = ModelInput(self._model, input_range)
        self.program: Program = runnable(self.network, device.config, slices=slices).program
        device.load(self.program, progress=progress)
        self.frame: Frame | None = None
        self._values: dict[int, np.ndarray] = {}

    # As TensorFlow Lite's interpreter.

    def get_input_details(self) -> list[dict[str, Any]]:
        """Of each input: ``name``, ``index``, ``shape``, ``dtype``, ``quantization`` (scale, zero point) and more."""
        return [tensor_details(self._model.tensors[index]) for index in self._model.inputs]

    def get_output_details(self) -> list[dict[str, Any]]:
        """The same of each output."""
        return [tensor_details(self._model.tensors[index]) for index in self._model.outputs]

    def allocate_tensors(self) -> None:
        """Nothing: everything has its place when the model is loaded."""

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        """Give input ``index`` a value of exactly its shape and type; it is copied."""
        if index not in self._model.inputs:
            raise NarrowsError(f"Tensor {index} is no input; set {self._listed(self._model.inputs)}.")
        tensor = self._model.tensors[index]
        value = np.asarray(value)
        if value.shape != tensor.shape:
            raise NarrowsError(f"{tensor}: the value has shape {list(value.shape)}, the model takes {list(tensor.shape)}.")
        self._values[index] = as_input(tensor, value).copy()

    def invoke(self, *, progress: Progress | None = None) -> None:
        """Run the inputs that were set."""
        if missing := set(self._model.inputs) - set(self._values):
            raise NarrowsError(f"{self._model.tensors[min(missing)]} has no value: set it first.")
        picture = run_pre(self.network, self._values[self._model.inputs[0]])
        self._device.load(self.program, progress=progress)
        self._keep(self._device.run(picture, progress=progress))

    def get_tensor(self, index: int) -> np.ndarray:
        """A copy of an output after :meth:`invoke`, or of an input that was set."""
        if index not in self._values:
            known = {*self._model.inputs, *self._model.outputs}
            why = "has no value yet: set the inputs and invoke" if index in known else f"is not kept; get {self._listed(known)}"
            raise NarrowsError(f"Tensor {index} {why}.")
        return self._values[index].copy()

    # Pictures.

    def classify(self, image: str | Path | np.ndarray, *, top: int = 5, progress: Progress | None = None) -> list[Answer]:
        """The ``top`` best classes of one picture, the best first. ``image``: a file, as of ``narrows run --image``, or uint8 pixels
        (height, width, channels) of the model's size."""
        (answers,) = self.classify_stream([image], top=top, progress=progress)
        return answers

    def classify_stream(
        self, images: Iterable[str | Path | np.ndarray], *, top: int = 5, alone: bool = False, progress: Progress | None = None
    ) -> Iterator[list[Answer]]:
        """:meth:`classify` for each of ``images`` in order: the next picture is sent while the device computes, unless each frame
        is to run ``alone``, so that its counters are its own (:meth:`narrows.Device.stream`)."""
        self._device.load(self.program, progress=progress)
        pictures = (run_pre(self.network, self._value(image)) for image in images)
        for frame in self._device.stream(pictures, alone=alone, progress=progress):
            self._keep(frame)
            yield self._answers(top)

    @property
    def input_range(self) -> InputRange | None:
        """What becomes of a picture's pixels in a float32 input, and who says so; None for a model that takes bytes."""
        return self._input.range

    def _value(self, image: str | Path | np.ndarray) -> np.ndarray:
        return self._input.of_pixels(image) if isinstance(image, np.ndarray) else self._input.read(image).value

    def _keep(self, frame: Frame) -> None:
        self.frame = frame
        for index, value in zip(self._model.outputs, run_post(self.network, *frame.outputs[0]), strict=True):
            self._values[index] = value

    def _answers(self, top: int) -> list[Answer]:
        index = self._model.outputs[0]
        scores, tensor = self._values[index].reshape(-1), self._model.tensors[index]
        best = np.argsort(-scores.astype(np.float64), kind="stable")[:top]
        names = self._names or []
        return [Answer(int(n), names[n] if n < len(names) else None, scores[n].item(), real(tensor, scores[n])) for n in best]

    def _listed(self, indices: Iterable[int]) -> str:
        return ", ".join(f"{index} ({self._model.tensors[index].name})" for index in sorted(indices))


def real(tensor: FileTensor, score: Any) -> float:
    """The number that ``score``, a value of ``tensor``, stands for."""
    if tensor.scale is None or tensor.zero_point is None or tensor.scale.size != 1 or score.dtype.kind == "f":
        return float(score)
    return float(tensor.scale[0]) * (int(score) - int(tensor.zero_point[0]))


def tensor_details(tensor: FileTensor) -> dict[str, Any]:
    """What TensorFlow Lite's interpreter says of ``tensor``, under the same keys."""
    scales = np.zeros(0, np.float32) if tensor.scale is None else tensor.scale.astype(np.float32)
    points = np.zeros(0, np.int32) if tensor.zero_point is None else tensor.zero_point.astype(np.int32)
    single = (float(scales[0]), int(points[0])) if scales.size == 1 else (0.0, 0)
    return {
        "name": tensor.name, "index": tensor.index, "shape": np.array(tensor.shape, np.int32),
        "shape_signature": np.array(tensor.shape, np.int32), "dtype": np.dtype(tensor.dtype).type, "quantization": single,
        "quantization_parameters": {"scales": scales, "zero_points": points, "quantized_dimension": tensor.axis},
        "sparsity_parameters": {},
    }
