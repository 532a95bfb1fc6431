"""Train the network that Narrows carries: MobileNetV2 0.35 at 96x96 on pictures of handwritten digits, as int8 ``.tflite``.

    pip install -e '.[train,test]'
    python sw/data/train_digits.py --output sw/data

Takes about 20 minutes of processor time. Writes the model, its labels, some pictures of digits it was not
trained on, and ``digits.json`` with what was measured.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from digit_images import SIZE, render, render_all, split
from PIL import Image
from rich.console import Console

from narrows.golden import oracle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import tensorflow  # pyright: ignore[reportMissingModuleSource]
except ImportError:
    raise SystemExit("train_digits: TensorFlow is not installed; run pip install -e '.[train,test]'") from None
tf: Any = tensorflow  # the type checker's idea of it lacks half of Keras

NAME = "digits_mobilenetv2_035_96.tflite"
SAMPLES = {0: 192, 2: 192, 3: 192, 5: 96, 6: 256, 8: 192}  # label -> size of its picture in images/; most need resizing
BATCH = 32
CALIBRATION = 300  # pictures that the converter takes its activation ranges from
# Which random stream a picture comes from, after the seed.
_SMALL, _FULL, _CALIBRATION, _HELD_OUT, _SAMPLES = range(5)

console = Console()


def build_model(size: int) -> Any:
    """The untrained network; its input is float32 (n, size, size, 3) of -1..1, its output 10 probabilities."""
    model = tf.keras.applications.MobileNetV2(input_shape=(size, size, 3), alpha=0.35, weights=None, classes=10)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = 0.9  # its own 0.999 averages over more steps than this training has
    return model


def to_float(pictures: Any) -> Any:
    """uint8 pixels as the network takes them, -1..1; the converted model's first operator does the same."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1.0


def train(digits: np.ndarray, labels: np.ndarray, *, small_epochs: int, epochs: int, copies: int, seed: int) -> Any:
    """The trained network. It learns ``small_epochs`` on pictures of half the height, four times as fast, then ``epochs``."""
    small = build_model(SIZE // 2)
    _fit(small, digits, labels, epochs=small_epochs, copies=copies, seed=(seed, _SMALL), rate=4e-3)
    model = build_model(SIZE)
    model.set_weights(small.get_weights())  # no weight's shape depends on the size of the pictures
    _fit(model, digits, labels, epochs=epochs, copies=copies, seed=(seed, _FULL), rate=1e-3)
    return model


def _fit(model: Any, digits: np.ndarray, labels: np.ndarray, *, epochs: int, copies: int, seed: tuple[int, int], rate: float) -> None:
    """Fit ``model``; every epoch sees ``copies`` new pictures of each digit. The rate rises to ``rate``, then falls to 0."""
    steps = epochs * -(-len(labels) * copies // BATCH)
    warmup = steps // 20
    schedule = tf.keras.optimizers.schedules.CosineDecay(0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup)
    model.compile(tf.keras.optimizers.AdamW(schedule, weight_decay=0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    size = model.input_shape[1]
    for epoch in range(epochs):
        pictures, truth = render_all(digits, labels, seed=(*seed, epoch), copies=copies, size=size)
        order = np.random.default_rng((*seed, epoch)).permutation(len(truth))
        data = tf.data.Dataset.from_tensor_slices((pictures[order], truth[order])).batch(BATCH)
        history = model.fit(data.map(lambda x, y: (to_float(x), y)), verbose=0).history
        console.print(f"{size}x{size}, epoch {epoch + 1}/{epochs}: loss {history['loss'][0]:.4f}, accuracy {history['accuracy'][0]:.4f}")


def convert(model: Any, pictures: np.ndarray) -> bytes:
    """``model`` as a ``.tflite``: int8 with a weight scale per channel, uint8 at both ends, calibrated on ``pictures``."""
    image = tf.keras.Input(batch_shape=(1, SIZE, SIZE, 3), name="image")
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, model(image, training=False)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([to_float(picture[None])] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


def reference_interpreter(model: bytes) -> tuple[Any, str]:
    """An interpreter with the reference kernels and its name: the tests' oracle, or TensorFlow's own without it."""
    if oracle.available():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        name = f"ai-edge-litert {oracle.VERSION}"
    else:
        Interpreter, OpResolverType = tf.lite.Interpreter, tf.lite.experimental.OpResolverType
        name = f"tensorflow {tf.__version__}"
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter, f"{name}, BUILTIN_REF, 1 thread"


def answers(interpreter: Any, pictures: np.ndarray) -> np.ndarray:
    """The model's output for every picture, uint8 (n, 10) in 256ths."""
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    for picture in pictures:
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result)[0].copy())
    return np.stack(rows)


def write_samples(folder: Path, digits: np.ndarray, labels: np.ndarray, *, seed: int, interpreter: Any) -> dict[str, Any]:
    """Write a picture of the first of ``digits`` of each label in ``SAMPLES``; the model's answer for each, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = {}
    for label, size in SAMPLES.items():
        digit = digits[np.flatnonzero(labels == label)[0]]
        picture = Image.fromarray(render(digit, np.random.default_rng((seed, _SAMPLES, label)), size=size))
        picture.save(folder / f"{label}.png", optimize=True)
        small = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        output = answers(interpreter, small[None])[0]
        samples[f"{label}.png"] = {"size": size, "label": label, "answer": int(output.argmax()), "output": output.tolist()}
    return samples


def main(
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    small_epochs: Annotated[int, typer.Option(help="Epochs with pictures of half the height.", min=1)] = 25,
    epochs: Annotated[int, typer.Option(help="Epochs with pictures of full height, after those.", min=1)] = 8,
    copies: Annotated[int, typer.Option(help="Pictures of each digit in an epoch.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="Of the split, the pictures and the first weights.", min=0)] = 1,
    threads: Annotated[int, typer.Option(help="TensorFlow's.", min=1)] = 2,
) -> None:
    """Train, convert, measure and write the digits network."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(seed)
    digits, labels, test_digits, test_labels = split(seed=seed)

    model = train(digits, labels, small_epochs=small_epochs, epochs=epochs, copies=copies, seed=seed)
    calibration = np.random.default_rng((seed, _CALIBRATION)).choice(len(labels), CALIBRATION, replace=False)
    content = convert(model, render_all(digits[calibration], labels[calibration], seed=(seed, _CALIBRATION))[0])

    pictures, truth = render_all(test_digits, test_labels, seed=(seed, _HELD_OUT), copies=4)
    interpreter, reference = reference_interpreter(content)
    as_float = np.concatenate([model(to_float(pictures[i : i + BATCH])) for i in range(0, len(truth), BATCH)]).argmax(1)
    as_int8 = answers(interpreter, pictures).argmax(1)

    samples = write_samples(output / "images", test_digits, test_labels, seed=seed, interpreter=interpreter)
    (output / NAME).write_bytes(content)
    (output / "digits_labels.txt").write_text("".join(f"{label}\n" for label in range(10)))
    measured = {
        "model": NAME,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "accuracy_float": round(float((as_float == truth).mean()), 4),
        "accuracy_int8": round(float((as_int8 == truth).mean()), 4),
        "same_answer_float_int8": round(float((as_float == as_int8).mean()), 4),
        "int8_measured_with": reference,
        "held_out_pictures": len(truth),
        "held_out_digits": len(test_labels),
        "training_digits": len(labels),
        "epochs_half_size": small_epochs,
        "epochs": epochs,
        "pictures_per_epoch": len(labels) * copies,
        "seed": seed,
        "date": date.today().isoformat(),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "scikit-learn", "numpy", "pillow")},
        "images": samples,
    }
    (output / "digits.json").write_text(json.dumps(measured, indent=2) + "\n")
    console.print_json(data={key: value for key, value in measured.items() if key != "images"})


if __name__ == "__main__":
    typer.run(main)
