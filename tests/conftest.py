"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch


def cuda_or_skip() -> torch.device:
    """The first CUDA device; without one the test is skipped, or fails where VIDSR_REQUIRE_CUDA=1."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("VIDSR_REQUIRE_CUDA") == "1":
        pytest.fail("VIDSR_REQUIRE_CUDA=1, but torch sees no CUDA device")
    pytest.skip("no CUDA device; VIDSR_REQUIRE_CUDA=1 makes this a failure")


@pytest.fixture
def cuda() -> torch.device:
    return cuda_or_skip()
