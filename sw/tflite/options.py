"""What is known of each operator of the ``.tflite`` schema: its number, its newest version, its options and their defaults."""

from __future__ import annotations

from typing import Any

from flatbuffers.number_types import Int32Flags

#: The place of the field ``builtin_code`` in the vtable of an operator code.
_BUILTIN_CODE = 10

# The highest version of each operator whose arithmetic is known to be the one implemented here.
OPERATOR_VERSIONS = {
    "ADD": 5, "ARG_MAX": 4, "AVERAGE_POOL_2D": 3, "CAST": 7, "CONCATENATION": 4, "CONV_2D": 8, "DEPTHWISE_CONV_2D": 7,
    "DEQUANTIZE": 6, "DIV": 2, "EXPAND_DIMS": 1, "FILL": 4, "FULLY_CONNECTED": 13, "GATHER": 7, "LOGISTIC": 3, "MAXIMUM": 4, "MEAN": 3,
    "MINIMUM": 4, "MUL": 7, "PACK": 4, "PAD": 4, "PADV2": 4, "QUANTIZE": 3, "REDUCE_PROD": 2, "RELU": 3, "RELU6": 3, "RELU_N1_TO_1": 3,
    "RESHAPE": 1, "RESIZE_BILINEAR": 4, "SHAPE": 1, "SOFTMAX": 3, "SQUEEZE": 2, "STRIDED_SLICE": 8, "SUB": 5, "SUM": 2,
    "TILE": 3, "TRANSPOSE": 6,
}  # fmt: skip

ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
PADDINGS = {0: "SAME", 1: "VALID"}
_STRIDES = {"padding": "Padding", "stride_h": "StrideH", "stride_w": "StrideW", "activation": "FusedActivationFunction"}
_DILATION = {"dilation_h": "DilationHFactor", "dilation_w": "DilationWFactor"}
_ACTIVATION = {"activation": "FusedActivationFunction"}

# Operator: its option table in the schema, our name of each field and its accessor there.
OPTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "ADD": ("AddOptions", _ACTIVATION),
    "SUB": ("SubOptions", _ACTIVATION),
    "MUL": ("MulOptions", _ACTIVATION),
    "DIV": ("DivOptions", _ACTIVATION),
    "CONV_2D": ("Conv2DOptions", _STRIDES | _DILATION),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _STRIDES | _DILATION | {"multiplier": "DepthMultiplier"}),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _STRIDES | {"filter_h": "FilterHeight", "filter_w": "FilterWidth"}),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        _ACTIVATION | {"weights_format": "WeightsFormat", "keep_num_dims": "KeepNumDims"},
    ),
    "CONCATENATION": ("ConcatenationOptions", _ACTIVATION | {"axis": "Axis"}),
    "SOFTMAX": ("SoftmaxOptions", {"beta": "Beta"}),
    "MEAN": ("ReducerOptions", {"keep_dims": "KeepDims"}),
    "SUM": ("ReducerOptions", {"keep_dims": "KeepDims"}),
    "REDUCE_PROD": ("ReducerOptions", {"keep_dims": "KeepDims"}),
    "GATHER": ("GatherOptions", {"axis": "Axis", "batch_dims": "BatchDims"}),
    "RESHAPE": ("ReshapeOptions", {"new_shape": "NewShapeAsNumpy"}),
    "SQUEEZE": ("SqueezeOptions", {"squeeze_dims": "SqueezeDimsAsNumpy"}),
    "RESIZE_BILINEAR": (
        "ResizeBilinearOptions",
        {"align_corners": "AlignCorners", "half_pixel_centers": "HalfPixelCenters"},
    ),
    "PACK": ("PackOptions", {"axis": "Axis", "count": "ValuesCount"}),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        {
            "begin_mask": "BeginMask",
            "end_mask": "EndMask",
            "ellipsis_mask": "EllipsisMask",
            "new_axis_mask": "NewAxisMask",
            "shrink_axis_mask": "ShrinkAxisMask",
        },
    ),
    "ARG_MAX": ("ArgMaxOptions", {"output_type": "OutputType"}),
}
# Options that have no usable default: a file without them is damaged.
REQUIRED = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "CONCATENATION", "PACK", "SOFTMAX"}
DEFAULTS: dict[str, Any] = {"activation": "NONE", "new_shape": (), "squeeze_dims": (), "output_type": "int64"}


def builtin_code(code: Any) -> int:
    """The number of an operator code's operator: the larger of its old field of 8 bits and its new one, as TFLite takes it.

    A writer may fill either. The accessor of the new field gives the old one's value below 127, so the field itself is read.
    """
    place = code._tab.Offset(_BUILTIN_CODE)
    new = code._tab.Get(Int32Flags, place + code._tab.Pos) if place else 0
    return max(new, code.DeprecatedBuiltinCode())
