"""Pictures of handwritten digits in the style of photographs: the digits of scikit-learn on colourful, noisy grounds."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

SIZE = 96  # pixels, height and width of the model's input
_SUPERSAMPLED = 64  # pixels, the side a digit's 8x8, with one pixel around it, is enlarged to before it is placed


def split(*, seed: int, held_out: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(digits, labels, held-out digits, held-out labels) of scikit-learn's digits: uint8 (n, 8, 8) of 0..16, int64 (n,).

    Split at random, each label in proportion; so one writer's digits may be on both sides.
    """
    from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    from sklearn.model_selection import train_test_split  # pyright: ignore[reportMissingImports]

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    train, test = train_test_split(np.arange(len(labels)), test_size=held_out, random_state=seed, stratify=labels)
    return images[train], labels[train], images[test], labels[test]


def render(digit: np.ndarray, rng: np.random.Generator, *, size: int = SIZE) -> np.ndarray:
    """One picture, uint8 (size, size, 3), of ``digit``, uint8 (8, 8) of 0..16.

    Drawn from ``rng``: height of the digit (about 55 to 90 % of the picture), place, rotation, slant, colours,
    ground, light, blur and noise.
    """
    ink = _place(digit, rng, size=size)[..., None]
    ground, colour = _colours(rng)
    texture = _clouds(rng, size, cells=int(rng.integers(2, 9))) * rng.uniform(5, 35)
    light = 1 + _clouds(rng, size, cells=2) * rng.uniform(0, 0.25)
    picture = ((ground + texture) * (1 - ink) + colour * ink) * light
    picture += rng.normal(0, rng.uniform(0, 7), (size, size, 1))  # one value per pixel, as a sensor's luminance noise
    picture = Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8) * size / SIZE)))


def render_all(
    digits: np.ndarray, labels: np.ndarray, *, seed: tuple[int, ...], copies: int = 1, size: int = SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """``copies`` different pictures of every digit and their labels: uint8 (n, size, size, 3) and int64 (n,)."""
    digits, labels = np.repeat(digits, copies, axis=0), np.repeat(labels, copies)
    pictures = (render(digit, np.random.default_rng((*seed, i)), size=size) for i, digit in enumerate(digits))
    return np.stack(list(pictures)), labels


def _place(digit: np.ndarray, rng: np.random.Generator, *, size: int) -> np.ndarray:
    """How much ink is on each pixel, float64 (size, size) of 0..1."""
    levels = Image.fromarray((np.pad(digit, 1).astype(np.int32) * 255 // 16).astype(np.uint8))
    large = levels.resize((_SUPERSAMPLED, _SUPERSAMPLED), Image.Resampling.BICUBIC)
    height = rng.uniform(0.7, 1.15) * size  # of the digit with its margin
    angle, slant, stretch = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(-0.15, 0.15), rng.uniform(0.85, 1.1)
    slack = max(0.0, size - height) / 2
    centre = size / 2 + rng.uniform(-slack, slack, 2)
    # Pillow asks for the way back: from a pixel of the picture to a pixel of the digit.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    back = np.array([[1 / stretch, slant], [0, 1]]) @ turn * (_SUPERSAMPLED / height)
    offset = _SUPERSAMPLED / 2 - back @ centre
    coefficients = (*back[0], offset[0], *back[1], offset[1])
    ink = large.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    edge = rng.uniform(0.35, 0.5)  # a lower threshold is a broader pen
    return np.clip((np.asarray(ink) / 255 - edge) / 0.3 + 0.5, 0, 1) * rng.uniform(0.85, 1)


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A light ground and a dark pen's colour, float64 (3,), as paper and ink: at least 80 apart in luminance."""
    luminance = np.array([0.299, 0.587, 0.114])
    while True:
        ground, colour = rng.uniform(100, 255, 3), rng.uniform(0, 200, 3)
        if (ground - colour) @ luminance >= 80:
            return ground, colour


def _clouds(rng: np.random.Generator, size: int, *, cells: int) -> np.ndarray:
    """Smooth noise of about -1..1, float64 (size, size, 3): ``cells`` x ``cells`` random values, interpolated."""
    coarse = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
    planes = [Image.fromarray(coarse[..., c]).resize((size, size), Image.Resampling.BICUBIC) for c in range(3)]
    return np.stack([np.asarray(plane) for plane in planes], -1).astype(np.float64)
