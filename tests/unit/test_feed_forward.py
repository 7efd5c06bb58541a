"""SwiGLU beside PyTorch's, and the widths of the published models."""

import pytest

from llama_np.feed_forward import feed_forward_width, swiglu
from tests.checks import agree


def test_swiglu(torch, normal, dtype):
    x, gate, up, down = (
        normal(*shape, dtype=dtype) for shape in ((2, 5, 6), (6, 33), (6, 33), (33, 6))
    )
    x_, gate_, up_, down_ = map(torch.tensor, (x, gate, up, down))
    theirs = (torch.nn.functional.silu(x_ @ gate_) * (x_ @ up_)) @ down_
    agree(swiglu(x, gate, up, down), theirs, {"float32": 2e-5}.get(dtype.__name__))


def test_no_token_sees_another(normal):
    x, gate, up, down = normal(5, 6), normal(6, 33), normal(6, 33), normal(33, 6)
    whole = swiglu(x, gate, up, down)
    for t in range(5):
        agree(swiglu(x[t : t + 1], gate, up, down), whole[t : t + 1])


@pytest.mark.parametrize(
    "dim, multiple_of, multiplier, width",
    [
        (4096, 256, None, 11008),  # Llama 2 7B
        (4096, 1024, 1.3, 14336),  # Llama 3 8B
        (8192, 4096, 1.3, 28672),  # Llama 3 70B
        (2048, 256, 1.5, 8192),  # Llama 3.2 1B
        (3072, 256, 1.0, 8192),  # Llama 3.2 3B
        (4096, 1024, 1.0, 11264),
    ],
)
def test_widths(dim, multiple_of, multiplier, width):
    assert feed_forward_width(dim, multiple_of, multiplier) == width
