"""Bring a face to the embedder's pose: five landmarks onto a 112×112 template by a similarity."""

import cv2
import numpy as np

from worker.types import Faces, Float32, Image

CROP_SIZE = 112

# The five-point template that ArcFace (Deng et al., 2019) made customary and SFace was trained with, pixels.
TEMPLATE_XY = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)


def similarity(landmarks_xy: Float32) -> np.ndarray:
    """The [2, 3] matrix that takes landmarks [5, 2] closest to the template, in least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.
    Coinciding landmarks give a finite matrix too (a face of no size shows one colour).
    """
    source = landmarks_xy.astype(np.float64)
    source_mean, target_mean = source.mean(0), TEMPLATE_XY.mean(0)
    from_center, to_center = source - source_mean, TEMPLATE_XY - target_mean
    u, sizes, vt = np.linalg.svd(to_center.T @ from_center / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = u @ np.diag(signs) @ vt
    variance = from_center.var(axis=0).sum()
    scale = float(sizes @ signs / max(variance, 1e-6))
    return np.concatenate([scale * rotation, (target_mean - scale * rotation @ source_mean)[:, None]], axis=1)


def align(image_bgr: Image, faces: Faces, rows: list[int]) -> Image:
    """Crops uint8 [len(rows), 112, 112, 3] in BGR of the chosen faces; what lies outside the frame is black."""
    crops = np.empty((len(rows), CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for crop, row in zip(crops, rows, strict=True):
        matrix = similarity(faces.landmarks_xy[row])
        crop[:] = cv2.warpAffine(image_bgr, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
    return crops


def sharpness(crop_bgr: Image) -> float:
    """Variance of the Laplacian of the grey crop: the customary focus measure (Pech-Pacheco et al., 2000)."""
    return float(cv2.Laplacian(cv2.cvtColor(crop_bgr, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())
