"""Small networks of random weights, ours and others', which do what large ones do at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from tests.program import ROOT
from vidsr.networks.generator import Vidsr
from vidsr.networks.model_file import Card

if TYPE_CHECKING:  # spandrel takes a second
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.RestoreFormer import RestoreFormer

SIZE: dict[str, int | tuple[int, ...]] = {"window": 5, "features": 8, "blocks": 2}
CARD = Card("vidsr", SIZE, "fidelity", "MIT", "made up", "0" * 40, {"psnr_y": 30.5})
PUBLISHED = ROOT.parent / "shared/data/weights/realesr_animevideov3.pth"


def network(seed: int = 1) -> Vidsr:
    torch.manual_seed(seed)
    made = Vidsr(5, 8, 2)
    for number in made.parameters():
        torch.nn.init.normal_(number, std=0.1)
    return made


def compact(scale: int, channels: int = 3, nearest: bool = False) -> Compact:
    """A tiny network of the published file's kind; `nearest` lets it repeat pixels."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(scale)
    made = Compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=scale)
    if nearest:
        nn.init.zeros_(made.body[-1].weight)
        nn.init.zeros_(made.body[-1].bias)
    return made.eval()


def saved(path: Path, network: nn.Module) -> str:
    torch.save({"params": network.state_dict()}, path)
    return str(path)


def small_restoreformer() -> RestoreFormer:
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(2)
    sizes = {"n_embed": 16, "embed_dim": 32, "ch": 32, "z_channels": 32, "num_res_blocks": 1}
    return RestoreFormer(ch_mult=(1, 1, 1, 1, 1, 1), attn_resolutions=(16,), double_z=False, **sizes).eval()
