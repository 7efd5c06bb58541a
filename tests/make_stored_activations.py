"""Store what PyTorch computes for one tiny Llama, so that without it there is still a reference.

    python -m tests.make_stored_activations

writes ``stored_activations.npz``: config, weights, ids, every activation by name, the loss and a
few gradients. Needed again only when the names or the tiny Llama change.
"""

import dataclasses
import json

import numpy as np

from tests import torch_twin
from tests.checks import STORED, agree_by_name
from tests.tiny import random_ids, random_weights, tiny_config

GRADIENTS = ("embedding", "layers.0.attn_norm", "layers.0.wk", "layers.1.w_gate", "norm")


def main() -> None:
    config = tiny_config(dim=12, head_dim=6, ffn_width=17)
    single = random_weights(config, np.float32)
    weights = single.map(lambda w: w.astype(np.float64))
    ids = random_ids(config, 8)
    targets = np.append(ids[1:-1], -100)
    seen = torch_twin.forward(torch_twin.tensors(weights), config, ids[:-1])
    seen = {name: each.numpy() for name, each in seen.items()}
    model = torch_twin.hugging_face_twin(config, weights)
    agree_by_name(seen, torch_twin.hugging_face_activations(model, ids[:-1]))
    loss, gradients = torch_twin.loss_and_gradients(weights, config, ids[:-1], targets)
    np.savez_compressed(
        STORED,
        config=json.dumps(dataclasses.asdict(config)),
        ids=ids[:-1],
        targets=targets,
        loss=loss,
        **{f"weights/{name}": array for name, array in single.named()},
        **{f"activations/{name}": array for name, array in seen.items()},
        **{f"gradients/{name}": gradients[name].numpy() for name in GRADIENTS},
    )
    print(f"{STORED}: {STORED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
