"""How good a restored face is, by measures of the field."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidsr.errors import ModelError
from vidsr.networks.features import Features
from vidsr.networks.model_file import tensors

Image = NDArray[np.uint8]
Numbers = NDArray[np.floating]

BORDER = 4
"""Pixels cut from every edge before measuring, as is usual at a factor of 4."""
BEST = 99.0
"""What equal pictures score in dB, so that means stay finite."""


def luma(rgb: Image) -> NDArray[np.float64]:
    """BT.601 studio-range luma of `(h, w, 3)` uint8 RGB, 16..235, not rounded (Matlab's rgb2ycbcr)."""
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def psnr(a: NDArray[np.floating], b: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Peak signal-to-noise ratio in dB, peak 255, of two planes `(h, w)` under a mask `(h, w)`; 99 at most."""
    error = float(np.mean((a[mask] - b[mask]) ** 2, dtype=np.float64))
    return min(BEST, 10 * float(np.log10(255**2 / error))) if error else BEST


def _inside(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return image[BORDER:-BORDER, BORDER:-BORDER]


def psnr_y(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio of luma in dB between two `(h, w, 3)` uint8 pictures, border cut; inf if equal."""
    error = float(np.mean(_inside(luma(a) - luma(b)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim_y(a: Image, b: Image) -> float:
    """Structural similarity of luma, 11x11 Gaussian of 1.5, valid region, border cut (Wang 2004, section III-B)."""
    x, y = _inside(luma(a)), _inside(luma(b))

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5)[5:-5, 5:-5])

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    ssim = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(ssim.mean())


FACE = 112
"""Side of the recogniser's picture."""
MIDDLE = 0.578
"""The part of an FFHQ-aligned picture's side that the recogniser sees of stills."""


class Lpips:
    """Learned perceptual distance (Zhang 2018, equation 1) with SqueezeNet 1.1 features and LPIPS v0.1's weights.

    `backbone` and `linear` are files; with a backbone that is not torchvision's own the number is not the official
    one and must carry another name.
    """

    def __init__(self, backbone: Path, linear: Path) -> None:
        self._features = Features(str(backbone))
        try:
            weights = tensors(linear)
            self._weights = [weights[f"lin{depth}.model.1.weight"] for depth in range(len(self._features.places))]
        except KeyError as error:
            raise ModelError(f"{linear} does not hold LPIPS's linear layers for SqueezeNet", str(error)) from error

    def __call__(self, a: Image, b: Image) -> float:
        """The distance of two `(h, w, 3)` uint8 RGB pictures; 0 for equal ones."""
        with torch.inference_mode():
            x, y = (self._features(torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 255) for p in (a, b))
            parts = [(w * (p - q) ** 2).sum(1).mean() for w, p, q in zip(self._weights, x, y, strict=True)]
            return float(torch.stack(parts).sum())


class Identity:
    """A face recogniser (MobileFaceNet, Chen 2018) run by ncnn: how alike two pictures show one person.

    `param` and `weights` are ncnn's two files; the network takes 112 x 112 RGB, 0..255, and gives 128 numbers.
    """

    def __init__(self, param: Path, weights: Path) -> None:
        try:
            import ncnn
        except ImportError as error:
            raise ModelError("the identity measure needs the package ncnn; try: pip install ncnn") from error
        self._ncnn = ncnn
        self._network = ncnn.Net()
        self._network.opt.num_threads = 1
        if self._network.load_param(str(param)) or self._network.load_model(str(weights)):
            raise ModelError(f"{param} and {weights} are no network that ncnn can load")

    def embed(self, face: Image) -> NDArray[np.float32]:
        """The numbers `(128,)` of a face `(112, 112, 3)`, of length 1."""
        extractor = self._network.create_extractor()
        kind = self._ncnn.Mat.PixelType.PIXEL_RGB
        extractor.input("data", self._ncnn.Mat.from_pixels(np.ascontiguousarray(face), kind, FACE, FACE))
        found = np.array(extractor.extract("fc1")[1], np.float32)
        return np.asarray(found / np.linalg.norm(found), np.float32)

    def __call__(self, a: Image, b: Image) -> float:
        """The cosine between two faces `(112, 112, 3)`: about 0.6 for one person in two photographs, 0 for two."""
        return float(self.embed(a) @ self.embed(b))

    def of_stills(self, a: Image, b: Image) -> float:
        """The same for two pictures `(s, s, 3)` aligned as FFHQ is: their middles, by area averaging or bilinear."""
        return self(_middle(a), _middle(b))


CHIP = 150
"""Side of dlib's picture of a face."""
CHIP_POINTS = np.array([[45.2, 46.6], [103.8, 46.6], [74.5, 79.4], [49.6, 104.2], [99.4, 104.2]], np.float32)
"""Where CenterFace's landmarks lie in it: medians over 70 FFHQ faces aligned by dlib's 68 points, made symmetric."""


class Distance:
    """dlib's face recogniser: above a distance of 0.6 it takes two faces for two persons. No model here is trained
    against it.

    Raises ModelError where its packages are missing.
    """

    def __init__(self) -> None:
        found = find_spec("face_recognition_models")  # importing it needs pkg_resources, which newer setuptools lack
        try:
            import dlib
        except ImportError:
            found = None
        if found is None or found.origin is None:
            raise ModelError("dlib's recogniser is missing; try: pip install dlib-bin face-recognition-models")
        path = Path(found.origin).parent / "models/dlib_face_recognition_resnet_model_v1.dat"
        self._network = dlib.face_recognition_model_v1(str(path))

    def embed(self, face: Image) -> NDArray[np.float64]:
        """The numbers `(128,)` of a face `(150, 150, 3)`, uint8 RGB, whose landmarks lie at CHIP_POINTS. Two faces
        are as far apart as these are by Euclid."""
        return np.array(self._network.compute_face_descriptor(np.ascontiguousarray(face)), np.float64)


def _middle(image: Image) -> Image:
    side = round(image.shape[0] * MIDDLE)
    start = (image.shape[0] - side) // 2
    middle = np.ascontiguousarray(image[start : start + side, start : start + side])
    return np.asarray(cv2.resize(middle, (FACE, FACE), interpolation=cv2.INTER_AREA), np.uint8)
