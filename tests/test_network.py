"""The networks' shapes and beginnings."""

from __future__ import annotations

import pytest
import torch

from vidsr.networks.generator import Critic, Plain, Vidsr, enlarge, parameters


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize("size", [(32, 32), (17, 40)])
def test_a_fresh_network_is_the_plain_enlargement(window: int, size: tuple[int, int]) -> None:
    clip = torch.rand(2, window, 3, *size)
    out = Vidsr(window, 8, 2)(clip)
    assert out.shape == (2, 3, 4 * size[0], 4 * size[1])
    assert torch.equal(out, enlarge(clip[:, window // 2]))
    assert torch.equal(Plain(window)(clip), out)


def test_sizes_have_no_defaults_beside_those_of_the_settings() -> None:
    for network in (Vidsr, Critic):
        with pytest.raises(TypeError, match="features"):
            network()  # type: ignore[call-arg]


def test_the_shipped_size_has_fewer_parameters_than_srgan() -> None:
    srgan = 1_549_462  # Ledig 2017, figure 4: 16 blocks of 64 features, PReLU, two x2 pixel shuffles
    assert parameters(Vidsr(5, 48, 10)) == 442_992 < srgan / 3


def test_every_frame_of_the_window_counts() -> None:
    torch.manual_seed(1)
    network = Vidsr(5, 8, 2)
    for number in network.parameters():
        torch.nn.init.normal_(number, std=0.1)
    clip = torch.rand(1, 5, 3, 16, 16, requires_grad=True)
    network(clip).sum().backward()
    assert clip.grad is not None
    assert (clip.grad.abs().amax((0, 2, 3, 4)) > 0).all()


def test_no_frame_depends_on_another_of_its_batch() -> None:
    torch.manual_seed(1)
    network = Vidsr(5, 16, 2).eval()
    for number in network.parameters():
        torch.nn.init.normal_(number, std=0.1)
    clips = torch.rand(9, 5, 3, 24, 24)
    with torch.inference_mode():
        whole = network(clips)
        for size in (1, 2, 7):
            assert torch.equal(torch.cat([network(part) for part in clips.split(size)]), whole)


def test_the_critic_scores_patches_and_no_picture_depends_on_another() -> None:
    torch.manual_seed(4)
    critic = Critic(8).eval()
    pictures = torch.rand(3, 3, 128, 128)
    scores = critic(pictures)
    assert scores.shape == (3, 1, 8, 8)
    assert torch.allclose(critic(pictures[1:2]), scores[1:2], atol=1e-6)
    kinds = {type(layer).__name__ for layer in critic.layers}
    assert kinds == {"ParametrizedConv2d", "LeakyReLU"}  # no pooling, no dense layer, no batch normalisation
