"""Make one network of the gate's two parts and export it as ONNX.

python -m models.training.join_gate --contents DIR/checkpoint.pt --hindrances DIR/checkpoint.pt --out gate.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from models.training.networks import GateNet, HindranceNet, WholeGate
from models.training.train_gate import ANSWERS
from models.training.train_perception import export
from pipeline.stages.gate import GATE_SIZE, HINDRANCES


def join(contents: Path, hindrances: Path, out: Path) -> None:
    """Write the network that answers in the order of `pipeline.stages.gate.read_scores`, from two checkpoints."""
    first, second = GateNet(ANSWERS), HindranceNet(len(HINDRANCES))
    first.load_state_dict(torch.load(contents, weights_only=True))
    second.load_state_dict(torch.load(hindrances, weights_only=True))
    network = WholeGate(first, second)
    network.eval()
    export(network, out, size=(GATE_SIZE, GATE_SIZE))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contents", type=Path, required=True)
    parser.add_argument("--hindrances", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    join(given.contents, given.hindrances, given.out)


if __name__ == "__main__":
    main()
