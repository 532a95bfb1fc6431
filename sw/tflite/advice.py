"""What to do about files that are no networks, and about operators that nothing here runs."""

from __future__ import annotations

#: How files begin that stand where a ``.tflite`` should: what they are, and what to do.
_BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository, or download the file itself",
    b"<": "a web page; download the file itself, not the page that shows it",
    b"PK\x03\x04": "not a .tflite file but a zip archive; give the .tflite inside, or convert the model with the TFLite converter",
    b"\x1f\x8b": "not a .tflite file but a gzip archive; give the .tflite inside",
    b"\x89HDF": "not a .tflite file but a Keras model (HDF5); quantise and convert it with the TFLite converter",
}

#: Custom operators that stand for a network compiled for another chip, and by what.
_COMPILED = {
    "edgetpu-custom-op": "the Edge TPU; take the file from before the Edge TPU compiler, the one without _edgetpu in its name",
    "ethos-u": "an Ethos-U; take the file from before Vela, the one without _vela in its name",
    "NeutronGraph": "an NXP Neutron; take the file from before the Neutron converter",
}

#: What the engine has no unit for, and what to take in its place.
_NO_UNIT = {
    "MAX_POOL_2D": "the engine forms no maximum of pixels; use an average pool without padding, or a stride in the convolution before",
    "CONCATENATION": "the engine joins branches by adding them only; use an ADD, or a network of one chain",
    "RESIZE_BILINEAR": "the engine does not resize between layers; export the network up to there",
    "RESIZE_NEAREST_NEIGHBOR": "the engine does not resize between layers; export the network up to there",
    "TRANSPOSE_CONV": "the engine does not resize between layers; export the network up to there",
}

_BETWEEN = "can't run between layers"
#: What two activations can't become on the engine, and what to do instead.
OF_TWO = {
    "SUB": "the engine adds two tensors, it does not subtract them; export an ADD, with the sign in the convolution before",
    "MUL": "the engine does not multiply two tensors; use a network without such gates (squeeze and excitation)",
    "DIV": "the engine does not divide two tensors; use a network without it",
}


def no_tflite(content: bytes) -> str:
    """What a file of ``content``, which is no ``.tflite``, is, and what to do."""
    if not content:
        return "an empty file; copy or download it again"
    known = (words for beginning, words in _BEGINNINGS.items() if content.lstrip().startswith(beginning))
    return next(known, "not a .tflite file (no TFL3 mark); export the model with the TFLite converter")


def unsupported(name: str) -> str:
    """Why no operator ``name`` can be imported, and what to do."""
    if name in _COMPILED:
        return f"the network is compiled for {_COMPILED[name]}"
    if name.startswith("Flex"):
        return "an operator of TensorFlow, not of TFLite; convert the model with TFLite's built-in operators only"
    if name in _NO_UNIT:
        return f"not supported: {_NO_UNIT[name]}"
    return "not supported; only classifiers of the MobileNetV1 and V2 kind can be imported"


def between_layers(name: str, *, alone: bool) -> str:
    """Why operator ``name`` can't stand between layers, and what to do. ``alone``: of its inputs one at most is no constant."""
    if not alone and name in OF_TWO:
        return f"{_BETWEEN}: {OF_TWO[name]}"
    return f"{_BETWEEN}; export the model with it folded into the convolution before"
