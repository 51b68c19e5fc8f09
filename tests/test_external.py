"""Networks of other projects: recognised, brought to x4 and to our window, refused with a sentence, never executed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from spandrel.architectures.GFPGAN import GFPGAN
from torch import Tensor, nn

from tests.faces import crop, frame_of, planes, portrait, track_of
from tests.networks import PUBLISHED, compact, saved, small_restoreformer
from tests.program import needs
from vidsr.analysis.alignment import similarity
from vidsr.analysis.detector import CenterFace
from vidsr.errors import DeviceError, ModelError
from vidsr.files import sha256
from vidsr.networks import external, model_file
from vidsr.networks.external import FACE, FaceRestorer
from vidsr.networks.generator import enlarge
from vidsr.networks.user_models import about, tried
from vidsr.restore.restorer import Restorer

SHARED = Path(__file__).parents[1] / "../shared/data"
CPU = torch.device("cpu")
EYES, NOSE, MOUTH = [[192.98, 239.95], [318.90, 240.19]], [[256.63, 314.02]], [[201.26, 371.41], [313.09, 371.15]]
TEMPLATE = np.array([*EYES, *NOSE, *MOUTH])
"""Where facexlib puts the landmarks of a face in its 512-pixel picture (`face_restoration_helper.py`)."""


def face(side: int) -> Tensor:
    """The portrait's face as `(3, side, side)`."""
    cut = np.ascontiguousarray(portrait()[8:228, 112:332])
    small = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1).float() / 255


def in_place(made: Tensor, rgb: Tensor) -> bool:
    """Whether a restored crop lies where the plain enlargement does: any shift by a pixel fits less well."""
    plain = enlarge(rgb)
    off = [(made - plain.roll(move, axis)).abs().mean() for move, axis in ((1, 2), (-1, 2), (1, 3), (-1, 3))]
    return bool((made - plain).abs().mean() < min(off))


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_any_scale_becomes_four_and_nothing_moves(tmp_path: Path, scale: int) -> None:
    model = model_file.open_model(saved(tmp_path / "net.pth", compact(scale, nearest=True)), None)
    assert f"x{scale}" in about(model) and not model.ours and model.window == 1
    rgb = face(40)[None]
    made = model.network(rgb[None])
    assert made.shape == (1, 3, 160, 160)
    assert in_place(made, rgb)
    if scale == 1:
        assert torch.equal(made, enlarge(rgb))
    if scale in (2, 4):
        assert torch.equal(made, F.interpolate(rgb, scale_factor=4, mode="nearest"))


def test_a_network_of_two_is_applied_twice(tmp_path: Path) -> None:
    network = compact(2)
    model = model_file.open_model(saved(tmp_path / "net.pth", network), None)
    assert "applied twice" in about(model)
    rgb = face(32)[None]
    with torch.inference_mode():
        assert torch.equal(model.network(rgb[None]), network(network(rgb).clamp(0, 1)).clamp(0, 1))


def test_a_network_of_one_channel_restores_the_luma_and_leaves_colour(tmp_path: Path) -> None:
    model = model_file.open_model(saved(tmp_path / "grey.pth", compact(4, channels=1)), None)
    assert "luma" in about(model)
    rgb = face(32)[None]
    added = model.network(rgb[None]) - enlarge(rgb)
    assert added.abs().max() > 0.01
    assert torch.allclose(added[:, 0], added[:, 1], atol=1e-6) and torch.allclose(added[:, 1], added[:, 2], atol=1e-6)


@pytest.mark.parametrize("kind", ["image", "face"])
def test_no_face_depends_on_another_of_its_batch(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "FACE", 64)
    network = compact(4) if kind == "image" else small_restoreformer()
    model = model_file.open_model(saved(tmp_path / "net.pth", network), None)
    restorer = Restorer(model, CPU, torch.float16 if kind == "face" else torch.float32)  # the face restorer has no fp16
    clips = torch.rand(5, 1, 3, 32, 32)
    whole = restorer.added(clips)
    assert whole.dtype == torch.float32 and whole.abs().max() > 0
    assert torch.equal(torch.cat([restorer.added(part) for part in clips.split(2)]), whole)


def test_weights_may_be_safetensors(tmp_path: Path) -> None:
    network = compact(4)
    path = tmp_path / "net.safetensors"
    save_file(network.state_dict(), path, {"format": "pt"})
    model = model_file.open_model(str(path), None)
    rgb = face(32)[None]
    assert model.sha256 == sha256(path)
    with torch.inference_mode():
        assert torch.equal(model.network(rgb[None]), network(rgb).clamp(0, 1))


class Seen:
    """A face restorer that keeps what it was shown and paints a white spot at one place."""

    def __init__(self, spot: tuple[int, int] | None) -> None:
        self.spot, self.faces = spot, list[Tensor]()

    def __call__(self, _: nn.Module, shown: Tensor) -> Tensor:
        self.faces.append(shown)
        made = shown.clone()
        if self.spot:
            made[..., self.spot[1] - 8 : self.spot[1] + 8, self.spot[0] - 8 : self.spot[0] + 8] = 3.0
        return made


@pytest.mark.parametrize("side", [32, 96, 128, 256])
def test_a_face_restorer_sees_our_window_at_512_from_minus_one_to_one(side: int) -> None:
    rgb = face(side)[None]
    rgb[..., :4, :4] = 0.0
    rgb[..., -4:, -4:] = 1.0
    seen = Seen(None)
    made = FaceRestorer("seen", nn.Identity(), seen)(rgb[None])
    assert made.shape == (1, 3, 4 * side, 4 * side)
    assert seen.faces[0].shape == (1, 3, FACE, FACE)
    assert seen.faces[0].min() < -0.95 and seen.faces[0].max() > 0.95
    assert in_place(made, rgb) and (made - enlarge(rgb)).abs().mean() < 0.006
    spotted = FaceRestorer("spot", nn.Identity(), Seen((193, 240)))(torch.full_like(rgb, 0.5)[None])
    rows, columns = np.nonzero((spotted[0].mean(0) > 0.6).numpy())
    middle = (np.array([columns.mean(), rows.mean()]) + 0.5) / (4 * side)
    assert np.allclose(middle, [193 / FACE, 240 / FACE], atol=0.003)
    assert side != 128 or spotted.max() == 1.0  # what a network overshoots is cut


@pytest.mark.slow
@needs(SHARED)
def test_facexlibs_alignment_is_our_window() -> None:
    detector = cv2.FaceDetectorYN.create(str(SHARED / "weights/yunet_n_640_640.onnx"), "", (384, 384), 0.6)
    ours = CenterFace(0.5)
    sizes, moves = [], []
    for path in sorted((SHARED / "train/stills").glob("ffhq_*.jpg"))[::9]:
        picture = cv2.copyMakeBorder(cv2.imread(str(path)), 64, 64, 64, 64, cv2.BORDER_REFLECT)
        _, found = detector.detect(picture)
        faces = ours([np.ascontiguousarray(picture[..., ::-1])])[0]
        if found is None or not faces:
            continue
        points = max(found, key=lambda one: one[2] * one[3])[4:14].reshape(5, 2).astype(np.float64)
        theirs, _ = cv2.estimateAffinePartial2D(points + 0.5, TEMPLATE, method=cv2.LMEDS)
        best = max(faces, key=lambda one: float(np.prod(one.box[2:] - one.box[:2])))
        window = np.vstack([similarity(best.landmarks[None])[0] * FACE, [0, 0, 1]])
        way = np.vstack([theirs, [0, 0, 1]]) @ np.linalg.inv(window)
        sizes.append(np.hypot(way[0, 0], way[1, 0]))
        moves.append((way @ [FACE / 2, FACE / 2, 1])[:2] - FACE / 2)
    assert len(sizes) > 90
    assert abs(np.median(sizes) - 1) < 0.03
    assert np.abs(np.median(moves, axis=0)).max() < 6  # pixels of 512


@pytest.fixture(scope="module")
def gfpgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GFPGAN of random weights; spandrel knows one size only, so this file has 174 MB."""
    torch.manual_seed(3)
    fixed = {"decoder_load_path": None, "fix_decoder": False, "input_is_latent": True, "different_w": True}
    network = GFPGAN(out_size=512, channel_multiplier=2, sft_half=True, **fixed)
    state = network.state_dict()
    for name, value in state.items():
        if name.startswith("stylegan_decoder") and name.endswith("conv1.weight") and value.shape == (1,):
            value.fill_(0.5)  # how much of the noise is let in: a fresh network lets in none
    path = tmp_path_factory.mktemp("gfpgan") / "gfpgan.pth"
    torch.save({"params_ema": {name: value.half() for name, value in state.items()}}, path)
    return path


@pytest.mark.slow
def test_gfpgan_gives_the_same_face_twice(gfpgan: Path) -> None:
    model = model_file.open_model(str(gfpgan), None)
    gfpgan.unlink()
    assert about(model) == "GFPGAN, face restoration at 512 pixels"
    restorer = Restorer(model, CPU, torch.float32)
    clip = face(64)[None, None]
    first = restorer.added(clip)
    assert first.shape == (1, 3, 256, 256) and bool(first.isfinite().all())
    assert torch.equal(restorer.added(clip), first)


@pytest.mark.slow
def test_restoreformer_is_called_as_its_own_program_calls_it(tmp_path: Path) -> None:
    network = small_restoreformer()
    model = tried(model_file.open_model(saved(tmp_path / "rf.pth", network), None))
    assert about(model) == "RestoreFormer, face restoration at 512 pixels"
    rgb = face(128)[None]
    large = F.interpolate(rgb, scale_factor=4, mode="bicubic", align_corners=False)
    with torch.inference_mode():
        wanted = ((network(2 * large - 1)[0] + 1) / 2).clamp(0, 1)
        assert torch.allclose(model.network(rgb[None]), wanted, atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 0.5, 3.0])
def test_a_face_restorer_sees_the_face_upright_and_its_change_lands_on_the_face(angle: float) -> None:
    """A stand-in that lights up where the left eye of an upright face must be."""
    eye, seen = TEMPLATE[0], []

    def light(_: torch.nn.Module, face: torch.Tensor) -> torch.Tensor:
        seen.append(face)
        y, x = torch.meshgrid(torch.arange(FACE), torch.arange(FACE), indexing="ij")
        return face + 0.2 * torch.exp(-((x + 0.5 - eye[0]) ** 2 + (y + 0.5 - eye[1]) ** 2) / 200)

    there = crop(frame_of(portrait()), track_of(1, (222.0, 108.0), 96.0, angle=angle), planes())
    clip = torch.from_numpy(there.rgb.transpose(2, 0, 1))[None, None]
    added = FaceRestorer("light", torch.nn.Identity(), light).added_at(clip, torch.from_numpy(there.to_unit)[None])
    assert added.shape == (1, 3, 352, 352)
    peak = np.array(np.unravel_index(int(added[0].mean(0).argmax()), (352, 352)))[::-1] / 4 + 0.125
    assert there.to_unit @ np.append(peak, 1) == pytest.approx(TEMPLATE[0] / FACE, abs=0.005)
    assert seen[0].shape == (1, 3, FACE, FACE) and float(seen[0].min()) >= -1.2


class Shot:
    """What a malicious file asks the loader to do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("way", ["zip", "old", "bare"])
def test_a_malicious_file_is_refused_and_runs_nothing(tmp_path: Path, suffix: str, way: str) -> None:
    path, mark = tmp_path / f"bad{suffix}", tmp_path / "shot"
    held = {"params": {"weight": torch.zeros(3)}, "more": Shot(mark)}
    if way == "bare":
        path.write_bytes(pickle.dumps(held))
    else:
        torch.save(held, path, _use_new_zipfile_serialization=way == "zip")
    with pytest.raises(ModelError, match="bad"):
        model_file.open_model(str(path), None)
    assert not mark.exists()
    if way == "bare":
        pickle.loads(path.read_bytes())  # the file does shoot
        assert mark.exists()


def refused(path: Path, held: object, words: str) -> None:
    torch.save(held, path)
    with pytest.raises(ModelError, match=words) as told:
        model_file.open_model(str(path), None)
    assert path.name in str(told.value)


def test_what_cannot_be_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, state = tmp_path / "one.pth", compact(4).state_dict()
    refused(path, {"conv9.weight": torch.zeros(3, 3)}, "an architecture that spandrel does not know")
    refused(path, {"epoch": 7}, "no named tensors")
    refused(path, [1, 2], "no named tensors")
    refused(path, {**state, "body.0.bias": torch.zeros(7)}, "do not fit")
    refused(path, {**state, "body.0.bias": torch.full((8,), torch.nan)}, "not finite")
    huge = torch.zeros(1).expand(1 << 20, 1 << 20)
    refused(path, {**state, "body.0.weight": huge}, "claims more weights than it holds")
    monkeypatch.setattr(external, "_extra", lambda: None)
    refused(path, dict.fromkeys(external.CODEFORMER, torch.zeros(2)), "pip install spandrel_extra_arches")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match="no model file"):
        model_file.open_model(str(tmp_path / "notes.txt"), None)
    with pytest.raises(ModelError, match="--fidelity means nothing"):
        model_file.open_model(saved(path, compact(4)), 0.5)


@dataclass(frozen=True)
class Fake:
    """What spandrel says of a network that it would take long to make."""

    model: nn.Module
    purpose: str = "SR"
    scale: int = 4
    input_channels: int = 3
    output_channels: int = 3
    supports_half: bool = True
    supports_bfloat16: bool = True
    fault: str = ""

    def __call__(self, image: Tensor) -> Tensor:
        if self.fault:
            raise RuntimeError(self.fault)
        return torch.full((1, 3, 4 * image.shape[-2], 4 * image.shape[-1]), torch.nan)


class Greedy(Fake):
    """Changes its input in place, as spandrel's RCAN does."""

    def __call__(self, image: Tensor) -> Tensor:
        return F.interpolate(image.mul_(0.5), scale_factor=4.0)


def test_a_network_that_changes_its_input_changes_no_crop() -> None:
    clip = torch.rand(2, 1, 3, 16, 16)
    before = clip.clone()
    external.Enlarger("greedy", Greedy(nn.Identity()))(clip)
    assert torch.equal(clip, before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"purpose": "Inpainting"}, r"one\.pth is for inpainting"),
        ({"purpose": "FaceSR"}, r"one\.pth restores faces by Fake"),
        ({"input_channels": 4}, r"one\.pth takes 4 channels"),
        ({"fault": "shapes differ"}, r"one\.pth failed on a crop of 32x32"),
        ({}, r"one\.pth gave numbers that are not finite"),
    ],
)
def test_networks_that_restore_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    described = replace(Fake(nn.Identity()), **changes)  # type: ignore[arg-type]
    monkeypatch.setattr(external, "_recognised", lambda *_: ("Fake", described))
    with pytest.raises(ModelError, match=words):
        tried(model_file.open_model(saved(tmp_path / "one.pth", compact(4)), None))


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
    monkeypatch.setattr(external, "_recognised", lambda *_: ("Fake", Fake(nn.Identity(), fault=fault)))
    with pytest.raises(DeviceError, match="more memory than there is"):
        tried(model_file.open_model(saved(tmp_path / "one.pth", compact(4)), None))


def test_a_damaged_file_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    whole = Path(saved(tmp_path / "one.pth", compact(2))).read_bytes()
    torch.save(compact(2).state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    numbers = np.random.default_rng(5)
    for data in (whole, (tmp_path / "old.pth").read_bytes()):
        for _ in range(40):
            hurt = bytearray(data[: int(numbers.integers(1, len(data) + 1))])
            for place in numbers.integers(0, len(hurt), 4):
                hurt[place] ^= 1 << int(numbers.integers(8))
            (tmp_path / "hurt.pth").write_bytes(hurt)
            try:  # numbers inside a tensor may change unseen; nothing else may, and nothing but a ModelError comes out
                model_file.open_model(str(tmp_path / "hurt.pth"), None)
            except ModelError as error:
                assert "hurt.pth" in str(error)


@needs(PUBLISHED)
def test_a_published_network_sharpens_a_face() -> None:
    model = tried(model_file.open_model(str(PUBLISHED), None))
    assert about(model) == "RealESRGAN Compact, super-resolution x4"
    rgb = face(64)[None]
    made = model.network(rgb[None])
    assert in_place(made, rgb)
    assert (made.diff(dim=-1).abs() ** 4).mean() > 1.2 * (enlarge(rgb).diff(dim=-1).abs() ** 4).mean()
