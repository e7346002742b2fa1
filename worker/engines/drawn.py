"""Inputs for parity checks, drawn by code: no face of anybody is stored. The same pixels at every call."""

import cv2
import numpy as np

from worker.types import EMBEDDING_SIZE, Float32, Image

NUM_DRAWN = 3
"""Faces in each frame."""

_SKIN, _HAIR, _LIPS = np.array([120.0, 150.0, 200.0]), np.array([30.0, 30.0, 40.0]), np.array([90.0, 90.0, 170.0])


def street(number: int, seed: int = 0) -> list[Image]:
    """Frames uint8 [360, 640, 3] in BGR, three drawn faces in each, under uneven light with noise."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(number):
        slope = np.linspace(60, 60 + rng.uniform(20, 80), 640)
        frame = np.repeat(np.repeat(slope[None, :, None], 360, 0), 3, 2).astype(np.uint8)
        for x in (150, 330, 510):
            _face(frame, x + int(rng.integers(-15, 16)), 180 + int(rng.integers(-30, 31)), rng.uniform(45, 75), rng)
        blurred = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.8, 2.0)).astype(np.float32)
        frames.append(np.clip(blurred + rng.normal(0, 4, blurred.shape), 0, 255).astype(np.uint8))
    return frames


def sequences(number: int, length: int, seed: int = 0) -> Float32:
    """Raw embeddings float32 [number, length, 128] of people who look like themselves, of lengths 5…15."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(number, 1, EMBEDDING_SIZE)) + 0.8 * rng.normal(size=(number, length, EMBEDDING_SIZE))
    lengths = rng.uniform(5, 15, (number, length, 1))
    scaled: Float32 = (raw / np.linalg.norm(raw, axis=2, keepdims=True) * lengths).astype(np.float32)
    return scaled


def _face(frame: Image, x: int, y: int, radius: float, rng: np.random.Generator) -> None:
    skin = np.clip(_SKIN * rng.uniform(0.6, 1.1) + rng.normal(0, 8, 3), 30, 245)
    hair = _HAIR * rng.uniform(0.5, 2.5)
    lips = _LIPS * rng.uniform(0.7, 1.1)
    apart, eyes, mouth = rng.uniform(0.26, 0.34), rng.uniform(-0.2, -0.1), rng.uniform(0.2, 0.3)
    parts = [(hair, 0.0, -0.25, 0.85, 1.0), (skin, 0.0, 0.05, 0.72, 0.95)]
    for side in (-apart, apart):
        parts += [
            (0.8 * skin, side, eyes, 0.2, 0.13),
            (np.full(3, 235.0), side, eyes, 0.14, 0.07),
            (np.full(3, 40.0), side, eyes, 0.065, 0.065),
            (hair, side, eyes - 0.2, 0.19, 0.04),
        ]
    parts += [
        (0.8 * skin, 0.0, 0.15, 0.07, 0.2),
        (0.6 * skin, -0.07, 0.3, 0.04, 0.03),
        (0.6 * skin, 0.07, 0.3, 0.04, 0.03),
        (lips, 0.0, 0.55, mouth, 0.07),
        (0.35 * skin, 0.0, 0.55, 0.22, 0.015),
    ]
    for color, right, down, width, height in parts:
        center = (round(x + right * radius), round(y + down * radius))
        axes = (max(1, round(width * radius)), max(1, round(height * radius)))
        cv2.ellipse(frame, center, axes, 0, 0, 360, tuple(float(v) for v in color), -1, cv2.LINE_AA)
