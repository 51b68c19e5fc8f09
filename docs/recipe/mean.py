"""The mean of runs, which is often better than each of them: python -m docs.recipe.mean A=0.5 B=0.3 C=0.2 -o MEAN

A, B and C are checkpoints of `fit`, MEAN one whose average is theirs; beside it the model as `.safetensors`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from docs.recipe.fit import card_of
from vidsr.networks import model_file


def main() -> None:
    """Weights are taken relative to their sum."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", metavar="CHECKPOINT=WEIGHT")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    paths, weights = zip(*(run.rsplit("=", 1) for run in given.runs), strict=True)
    shares = torch.tensor([float(weight) for weight in weights])
    states = [model_file.tensors(Path(path))["average"] for path in paths]
    mean = {
        name: sum(share * state[name] for share, state in zip(shares / shares.sum(), states, strict=True))
        for name in states[0]
    }
    torch.save({"average": mean}, given.output)
    card = card_of("vidsr")
    network = model_file.build(card)
    network.load_state_dict(mean)
    model_file.save(given.output.with_suffix(".safetensors"), network.half(), card)


if __name__ == "__main__":
    main()
