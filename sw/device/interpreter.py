"""A network on a device, used like TensorFlow Lite's interpreter, or given pictures.

    interpreter = narrows.Device.open("sim").interpreter("net.tflite")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from narrows.compiler.runnable import runnable
from narrows.device.device import Device
from narrows.device.frame import Frame, Progress
from narrows.errors import NarrowsError
from narrows.golden.model import as_input, run_post, run_pre
from narrows.graph.network import Network
from narrows.importer.importer import import_network
from narrows.inputs.input_range import InputRange
from narrows.inputs.labels import names_for
from narrows.inputs.model_input import ModelInput
from narrows.program.encode import Program
from narrows.tflite.model import FileTensor

_TWO_THREADS = "Another thread has given this interpreter inputs since this one did: make one for each thread, by device.interpreter()."


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
    (:class:`narrows.device.frame.Frame` says when they are the network's alone). Raises :class:`NarrowsError` for a model that can't be run
    exactly or does not fit.

    One thread at a time gives it inputs; another may invoke for it. A thread whose inputs were replaced by another's gets an error, not the
    other's outputs: threads that work side by side have an interpreter each, of one device.
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
        self._lock = threading.Lock()  # of what follows; held for moments
        self._own = threading.local()  # ``given``: the inputs that this thread gave last
        self._given = object()  # stands for the inputs of now: another one, whenever another thread gives some
        self._frame: Frame | None = None
        self._values: dict[int, np.ndarray] = {}

    @property
    def frame(self) -> Frame | None:
        """The last frame, None before the first one."""
        with self._lock:
            self._check_given()
            return self._frame

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
        value = as_input(tensor, value).copy()
        with self._lock:
            self._give()
            self._values[index] = value

    def invoke(self, *, progress: Progress | None = None) -> None:
        """Run the inputs that were set."""
        with self._lock:
            self._check_given()
            given, values = self._given, dict(self._values)
        if missing := set(self._model.inputs) - set(values):
            raise NarrowsError(f"{self._model.tensors[min(missing)]} has no value: set it first.")
        picture = run_pre(self.network, values[self._model.inputs[0]])
        frame = self._device.run_program(self.program, picture, progress=progress)
        with self._lock:
            if given is not self._given:
                raise NarrowsError(_TWO_THREADS)
            self._keep(frame)

    def get_tensor(self, index: int) -> np.ndarray:
        """A copy of an output after :meth:`invoke`, or of an input that was set."""
        with self._lock:
            self._check_given()
            value = self._values.get(index)
        if value is None:
            known = {*self._model.inputs, *self._model.outputs}
            why = "has no value yet: set the inputs and invoke" if index in known else f"is not kept; get {self._listed(known)}"
            raise NarrowsError(f"Tensor {index} {why}.")
        return value.copy()

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
            with self._lock:
                self._give()
                outputs = self._keep(frame)
            yield self._answers(outputs, top)

    @property
    def input_range(self) -> InputRange | None:
        """What becomes of a picture's pixels in a float32 input, and who says so; None for a model that takes bytes."""
        return self._input.range

    def _value(self, image: str | Path | np.ndarray) -> np.ndarray:
        return self._input.of_pixels(image) if isinstance(image, np.ndarray) else self._input.read(image).value

    def _give(self) -> None:
        """The inputs are this thread's from now on."""
        if getattr(self._own, "given", None) is not self._given:
            self._own.given = self._given = object()

    def _check_given(self) -> None:
        """Raises if this thread gave inputs and another one did since: what is there now is not this thread's."""
        if getattr(self._own, "given", self._given) is not self._given:
            raise NarrowsError(_TWO_THREADS)

    def _keep(self, frame: Frame) -> list[np.ndarray]:
        """The model's outputs, which are kept."""
        outputs = list(run_post(self.network, *frame.outputs[0]))
        self._frame = frame
        self._values |= zip(self._model.outputs, outputs, strict=True)
        return outputs

    def _answers(self, outputs: list[np.ndarray], top: int) -> list[Answer]:
        scores, tensor = outputs[0].reshape(-1), self._model.tensors[self._model.outputs[0]]
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
