"""VDSR and SRGAN against the tables of their papers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from vidsr.networks import model_file
from vidsr.networks.baselines import Srgan, SrganCritic, Vdsr
from vidsr.networks.generator import enlarge, parameters


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def test_vdsr_is_the_papers() -> None:
    network = Vdsr()
    layers = convolutions(network)
    assert len(layers) == 20  # section 3.1: d = 20 layers of 64 filters of 3 x 3 x 64
    assert {layer.kernel_size for layer in layers} == {(3, 3)}
    assert sum(layer.weight.numel() for layer in layers) == 664_704
    field = 1 + sum(layer.kernel_size[0] - 1 for layer in layers)
    assert field == 41  # the same section: (2D + 1) x (2D + 1)


def test_vdsr_moves_luma_only() -> None:
    torch.manual_seed(1)
    network = Vdsr(1, 8, 3)
    nn.init.normal_(network.layers[-1].weight)
    clip = torch.rand(2, 1, 3, 12, 10)
    added = network(clip) - enlarge(clip[:, 0])
    assert added.shape == (2, 3, 48, 40)
    assert float(added.detach().abs().max()) > 0.01
    assert torch.allclose(added[:, 0], added[:, 1], atol=1e-6) and torch.allclose(added[:, 0], added[:, 2], atol=1e-6)


def test_srgan_is_the_papers() -> None:
    network = Srgan()
    layers = convolutions(network)
    kernels = [layer.kernel_size[0] for layer in layers]
    assert kernels == [9] + [3] * 32 + [3] + [3, 3] + [9]  # figure 4: B = 16 blocks
    assert [layer.out_channels for layer in layers] == [64] * 34 + [256, 256] + [3]
    assert parameters(network) == 1_549_462  # the paper's table says 1.5 million
    assert network(torch.rand(2, 1, 3, 24, 20)).shape == (2, 3, 96, 80)


def test_srgans_discriminator_is_the_papers() -> None:
    critic = SrganCritic()
    layers = convolutions(critic)
    assert [layer.out_channels for layer in layers] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [layer.stride[0] for layer in layers] == [1, 2] * 4
    dense = [layer for layer in critic.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(512 * 6 * 6, 1024), (1024, 1)]
    assert critic(torch.rand(2, 3, 96, 96)).shape == (2, 1)


@pytest.mark.parametrize("architecture", ["srgan", "vdsr"])
def test_its_files_load_like_any_model(tmp_path: Path, architecture: str) -> None:
    card = model_file.Card(
        architecture, {"window": 1, "features": 8, "blocks": 3}, "fidelity", "MIT", "made up", "", {}
    )
    torch.manual_seed(2)
    made = model_file.build(card)
    path = tmp_path / "old.safetensors"
    model_file.save(path, made, card)
    found = model_file.load(str(path))
    clip = torch.rand(1, 1, 3, 8, 8)
    assert torch.equal(found.network(clip), made.eval()(clip))
    assert found.card.architecture == architecture
