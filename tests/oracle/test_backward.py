"""Each backward step, and all of them together, beside PyTorch's autograd."""

import numpy as np
import pytest
from classroom import numerical_gradient

from llama_np import model
from llama_np.attention import attend, attend_grouped, causal_mask
from llama_np.feed_forward import swiglu
from llama_np.functional import sigmoid, softmax
from llama_np.rope import rope_frequencies, rope_rotations
from llama_np.sampling import pad_left, padded_view
from llama_np.tap import record
from llama_np.training import backward
from llama_np.training.backward import Dropout, loss_and_gradients
from llama_np.training.loss import IGNORE, cross_entropy
from tests.checks import agree, agree_by_name
from tests.tiny import random_ids, random_weights, tiny_config

TOLERANCE = 1e-10  # float64; sums of a few hundred products
T, K = 7, 10
SEE = causal_mask(np.arange(T), np.arange(T))


@pytest.fixture
def autograd(torch):
    """Gradients of ``expression(*arrays)`` when ``d_out`` comes back into it."""

    def gradients(expression, d_out, *arrays):
        inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
        expression(*inputs).backward(torch.tensor(d_out))
        return [each.grad for each in inputs]

    return gradients


def agree_all(ours, theirs):
    ours = ours if isinstance(ours, tuple) else (ours,)
    for i, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        agree(mine, expected, TOLERANCE, name=f"gradient {i}")


def test_cross_entropy_backward(torch, normal):
    logits, targets = normal(2, 5, 11), np.arange(10).reshape(2, 5)
    targets[1, 2:] = IGNORE
    theirs = torch.tensor(logits, requires_grad=True)
    torch.nn.functional.cross_entropy(
        theirs.flatten(0, 1), torch.tensor(targets).flatten()
    ).backward()
    agree(backward.cross_entropy_backward(logits, targets), theirs.grad, TOLERANCE)


def test_linear_backward(autograd, normal):
    d_out, x, w = normal(2, 5, 3), normal(2, 5, 4), normal(4, 3)
    agree_all(backward.linear_backward(d_out, x, w), autograd(lambda x, w: x @ w, d_out, x, w))


def test_embed_backward(torch, autograd, normal):
    d_out, embedding, ids = normal(2, 3, 4), normal(9, 4), np.array([[1, 8, 1], [0, 1, 8]])
    theirs = autograd(
        lambda e: torch.nn.functional.embedding(torch.tensor(ids), e), d_out, embedding
    )
    agree_all(backward.embed_backward(d_out, ids, vocab_size=9), theirs)


def test_rms_norm_backward(torch, autograd, normal):
    d_out, x, weight = normal(2, 5, 6), normal(2, 5, 6), normal(6)
    theirs = autograd(lambda x, w: torch.nn.functional.rms_norm(x, (6,), w, 1e-5), d_out, x, weight)
    agree_all(backward.rms_norm_backward(d_out, x, weight, 1e-5), theirs)


def test_softmax_backward(autograd, normal):
    d_out, x = normal(2, 5, 6), normal(2, 5, 6)
    theirs = autograd(lambda x: x.softmax(-1), d_out, x)
    agree_all(backward.softmax_backward(d_out, softmax(x)), theirs)


def test_silu_backward(torch, autograd, normal):
    d_out, x = normal(2, 5, 6), normal(2, 5, 6)
    agree_all(backward.silu_backward(d_out, x), autograd(torch.nn.functional.silu, d_out, x))


def test_rotate_backward(twin, autograd, normal):
    d_out, x, frequencies = normal(2, T, K), normal(2, T, K), rope_frequencies(K, 10000.0)
    positions, freqs = map(twin.tensor, (np.arange(T), frequencies))
    theirs = autograd(lambda x: twin.rotate(x, positions, freqs), d_out, x)
    rotations = rope_rotations(np.arange(T), frequencies)
    agree_all(backward.rotate_backward(d_out, rotations), theirs)


def test_attend_backward(torch, autograd, normal):
    d_mix, q, k, v = (normal(2, T, K) for _ in range(4))
    see, trace = torch.tensor(SEE), {}
    sdpa = torch.nn.functional.scaled_dot_product_attention
    theirs = autograd(lambda q, k, v: sdpa(q, k, v, attn_mask=see), d_mix, q, k, v)
    attend(q, k, v, SEE, record(trace))
    agree_all(backward.attend_backward(d_mix, q, k, v, trace["pattern"]), theirs)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 6])
@pytest.mark.parametrize("chunk", [3, 100])
def test_attend_grouped_backward(torch, autograd, normal, n_kv_heads, chunk):
    d_mix, q = normal(2, 6, T, K), normal(2, 6, T, K)
    k, v = normal(2, n_kv_heads, T, K), normal(2, n_kv_heads, T, K)
    see, trace = torch.tensor(SEE), {}
    theirs = autograd(
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=see, enable_gqa=True
        ),
        d_mix, q, k, v,
    )  # fmt: skip
    attend_grouped(q, k, v, SEE, record(trace))
    pattern = trace["pattern"]
    agree_all(backward.attend_grouped_backward(d_mix, q, k, v, pattern), theirs)
    parts = [pattern[..., s : s + chunk, : s + chunk] for s in range(0, T, chunk)]
    agree_all(backward.attend_with_patterns_backward(d_mix, q, k, v, parts), theirs)


def test_swiglu_backward(twin, autograd, normal):
    d_down, x = normal(2, T, 6), normal(2, T, 6)
    gate, up, down = normal(6, 33), normal(6, 33), normal(33, 6)
    theirs = autograd(
        lambda x, g, u, d: twin.feed_forward(x, {"w_gate": g, "w_up": u, "w_down": d}),
        d_down, x, gate, up, down,
    )  # fmt: skip
    trace = {}
    swiglu(x, gate, up, down, record(trace))
    seen = (trace["gate"], trace["up"], trace["hidden"])
    agree_all(backward.swiglu_backward(d_down, x, gate, up, down, *seen), theirs)


ROLES = ("wq", "wk", "wv", "wo")


def test_attention_backward(twin, autograd, house, normal):
    config, weights = house
    layer, d_out, x = weights.layers[0], normal(2, T, config.dim), normal(2, T, config.dim)
    freqs = rope_frequencies(K, config.rope_theta)
    matrices = [getattr(layer, role) for role in ROLES]
    rotations = rope_rotations(np.arange(T), freqs)
    _, seen = backward.block_forward(x, layer, config, rotations, SEE)
    theirs = autograd(
        lambda x, *w: twin.attention(
            x, dict(zip(ROLES, w, strict=True)), config, twin.tensor(freqs)
        ),
        d_out, seen.attn_norm, *matrices,
    )  # fmt: skip
    d_x, d_layer = backward.attention_backward(d_out, layer, config, rotations, seen)
    agree_all((d_x, *(d_layer[role] for role in ROLES)), theirs)


def test_block_backward(twin, torch, house, normal):
    config, weights = house
    layer, d_out, x = weights.layers[0], normal(2, T, config.dim), normal(2, T, config.dim)
    freqs = rope_frequencies(K, config.rope_theta)
    theirs = {name: twin.tensor(w, grad=True) for name, w in vars(layer).items()}
    their_x = twin.tensor(x, grad=True)
    twin.block(their_x, theirs, config, twin.tensor(freqs)).backward(torch.tensor(d_out))
    rotations = rope_rotations(np.arange(T), freqs)
    out, seen = backward.block_forward(x, layer, config, rotations, SEE)
    agree(out, model.block(x, layer, config, rotations, SEE))
    d_x, d_layer = backward.block_backward(d_out, layer, config, rotations, seen)
    agree(d_x, their_x.grad, TOLERANCE)
    agree_by_name(vars(d_layer), {name: w.grad for name, w in theirs.items()}, TOLERANCE)


# --- the whole way ---


def compare(twin, config, weights, ids, targets, factors=None, **options):
    loss, gradients = loss_and_gradients(weights, config, ids, targets, **options)
    their_loss, theirs = twin.loss_and_gradients(weights, config, ids, targets, factors)
    np.testing.assert_allclose(loss, their_loss, rtol=1e-12)
    ours = dict(gradients.named())
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        # relative to the array: single gradients may be sums that nearly cancel
        scale = expected.abs().max().item()
        agree(ours[name] / scale, expected / scale, TOLERANCE, name)


@pytest.mark.parametrize("ignored", [0, 4], ids=["all count", "some ignored"])
def test_loss_and_gradients(twin, config, weights, ignored):
    ids = random_ids(config, 2, 8)
    targets = ids[:, 1:].copy()
    targets[0, :ignored] = IGNORE
    compare(twin, config, weights, ids[:, :-1], targets)


@pytest.mark.parametrize("chunk", [1, 3, 7, 64])
def test_chunks_of_queries_change_no_gradient(twin, house, monkeypatch, chunk):
    monkeypatch.setattr(backward, "CHUNK", chunk)
    config, weights = house
    ids = random_ids(config, 2, 8)
    compare(twin, config, weights, ids[:, :-1], ids[:, 1:])


def test_one_sequence_needs_no_batch_axis(twin, house):
    config, weights = house
    ids = random_ids(config, 8)
    compare(twin, config, weights, ids[:-1], ids[1:])


LENGTHS = (7, 3, 5)


@pytest.mark.parametrize("tied", [False, True])
def test_a_padded_batch_learns_what_its_texts_teach_one_by_one(twin, tied):
    """Padded at the end, where no token sees it; the texts by themselves go through PyTorch."""
    config = tiny_config(tied_output=tied)
    weights, texts = random_weights(config), [random_ids(config, n + 1, seed=n) for n in LENGTHS]
    ids = np.full((len(texts), max(LENGTHS)), config.vocab_size - 1)
    targets = np.full(ids.shape, IGNORE)
    expected_loss, expected = 0, dict.fromkeys(dict(weights.named()), 0)
    for row, text in enumerate(texts):
        n = len(text) - 1
        ids[row, :n], targets[row, :n] = text[:-1], text[1:]
        loss, gradients = twin.loss_and_gradients(weights, config, text[:-1], text[1:])
        share = n / sum(LENGTHS)  # a mean over all positions: long texts count for more
        expected_loss += share * loss
        expected = {name: total + share * gradients[name] for name, total in expected.items()}
    loss, gradients = loss_and_gradients(weights, config, ids, targets)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
    for name, ours in gradients.named():
        scale = expected[name].abs().max().item()
        agree(ours / scale, expected[name] / scale, TOLERANCE, name)
    compare(twin, config, weights, ids, targets)


def test_padding_gets_no_gradient_whatever_it_is(house):
    config, weights = house
    ids, padding = random_ids(config, 2, T) % 40, np.arange(T) >= 5
    targets = np.where(padding, IGNORE, ids)
    _, one = loss_and_gradients(weights, config, np.where(padding, 50, ids), targets)
    _, other = loss_and_gradients(weights, config, np.where(padding, 51, ids), targets)
    for (name, ours), (_, theirs) in zip(one.named(), other.named(), strict=True):
        agree(ours, theirs, TOLERANCE, name)
    assert not one.embedding[50:52].any()


def test_block_backward_in_a_batch_padded_at_the_front(twin, torch, house, normal):
    """Each row has positions and a view of its own; the texts by themselves go through PyTorch."""
    config, weights = house
    layer, freqs = weights.layers[0], rope_frequencies(K, config.rope_theta)
    _, padding = pad_left([[0] * n for n in LENGTHS])
    view, real = padded_view(padding, 0, T), np.arange(T) >= padding[:, None]
    x, d_out = normal(3, T, config.dim), normal(3, T, config.dim) * real[..., None]
    rotations = rope_rotations(view["positions"], freqs)
    _, seen = backward.block_forward(x, layer, config, rotations, view["mask"])
    d_x, d_layer = backward.block_backward(d_out, layer, config, rotations, seen)
    theirs = {name: twin.tensor(w, grad=True) for name, w in vars(layer).items()}
    for row, start in enumerate(padding):
        alone = twin.tensor(x[row, start:], grad=True)
        twin.block(alone, theirs, config, twin.tensor(freqs)).backward(
            torch.tensor(d_out[row, start:])
        )
        agree(d_x[row, start:], alone.grad, TOLERANCE)
        assert not d_x[row, :start].any()
    agree_by_name(vars(d_layer), {name: w.grad for name, w in theirs.items()}, TOLERANCE)


@pytest.mark.parametrize("tied", [False, True])
def test_dropout(twin, tied):
    """The same numbers dropped here and there."""
    config = tiny_config(tied_output=tied)
    weights, ids = random_weights(config), random_ids(config, 2, 8)
    inputs, rng = ids[:, :-1], np.random.default_rng(5)
    x = np.zeros((*inputs.shape, config.dim))
    factors = {  # drawn as training draws them: block after block, attention first
        f"blocks.{i}.{name}": twin.tensor(Dropout(rate=0.3, rng=rng).kept(x))
        for i in range(config.n_layers)
        for name in ("attn_out", "down")
    }
    compare(
        twin, config, weights, inputs, ids[:, 1:], factors,
        dropout=Dropout(rate=0.3, rng=np.random.default_rng(5)),
    )  # fmt: skip


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = np.ones((200, 200), np.float32)
    dropped, kept = backward.drop(x, Dropout(rate=0.25, rng=np.random.default_rng(0)))
    assert dropped.dtype == kept.dtype == np.float32
    assert abs((dropped == 0).mean() - 0.25) < 0.01
    assert abs(dropped.mean() - 1) < 0.02
    assert backward.drop(x, None)[0] is x and backward.drop(x, None)[1] is None


def test_the_gradient_is_the_slope(house):
    """By trying: move each of some weights a little both ways, and see how the loss moves."""
    config, weights = house
    ids = random_ids(config, 8)
    _, gradients = loss_and_gradients(weights, config, ids[:-1], ids[1:])
    gradient_of, named = dict(gradients.named()), dict(weights.named())
    for name, array in named.items():
        at = np.unravel_index(np.abs(gradient_of[name]).argmax(), array.shape)

        def loss(changed, name=name):
            moved = type(weights).from_named({**named, name: changed})
            return cross_entropy(model.forward(moved, config, ids[:-1]), ids[1:])

        (slope,) = numerical_gradient(loss, array, [at])
        np.testing.assert_allclose(gradient_of[name][at], slope, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_float32_stays_float32(config, weights, rate):
    ids = random_ids(config, 2, 8)
    _, gradients = loss_and_gradients(
        weights.map(np.float32), config, ids[:, :-1], ids[:, 1:],
        dropout=Dropout(rate=rate, rng=np.random.default_rng(0)) if rate else None,
    )  # fmt: skip
    assert {array.dtype for _, array in gradients.named()} == {np.dtype(np.float32)}


def test_float32_gradients_are_those_of_float64(house):
    config, weights = house
    ids = random_ids(config, 2, 8)
    _, single = loss_and_gradients(weights.map(np.float32), config, ids[:, :-1], ids[:, 1:])
    _, double = loss_and_gradients(weights, config, ids[:, :-1], ids[:, 1:])
    for (name, ours), (_, theirs) in zip(single.named(), double.named(), strict=True):
        scale = float(np.abs(theirs).max())
        agree(ours / scale, (theirs / scale).astype(np.float32), 1e-5, name)


def test_a_tied_gradient_is_the_sum_of_both_uses():
    config = tiny_config(tied_output=True)
    weights, ids = random_weights(config), random_ids(config, 8)
    _, tied = loss_and_gradients(weights, config, ids[:-1], ids[1:])
    untied_config = tiny_config(tied_output=False)
    named = dict(weights.named()) | {"output": weights.embedding.T.copy()}
    untied_weights = type(weights).from_named(named)
    _, untied = loss_and_gradients(untied_weights, untied_config, ids[:-1], ids[1:])
    agree(tied.embedding, untied.embedding + untied.output.T)
    assert np.shares_memory(tied.output, tied.embedding)
    assert np.array_equal(tied.output, tied.embedding.T)  # D V, as the output itself


def test_the_chain_rule_on_one_neuron():
    """A sigmoid of x w + b and its cross-entropy: small enough to check by hand."""
    x, w, b, y = 1.1, 2.2, 0.0, 1.0
    a = float(sigmoid(np.array([x * w + b]))[0])
    loss = -np.log(a)
    d_z = a - y
    np.testing.assert_allclose(
        [a, loss, d_z * x, d_z], [0.91833974, 0.08518786, -0.08982628, -0.08166026], atol=1e-8
    )


# --- a test of gradients must be able to fail ---

right = dict(vars(backward))  # as they are, before one of them is replaced


def divided_by_all_positions(logits, targets):
    d_logits = right["cross_entropy_backward"](logits, targets)
    return d_logits * (targets != IGNORE).sum() / targets.size


def only_the_sign(logits, targets):
    return -right["cross_entropy_backward"](logits, targets)


def mean_over_the_tokens(d_out, x, w):
    d_x, d_w = right["linear_backward"](d_out, x, w)
    return d_x, d_w / x[..., 0].size


def last_occurrence_wins(d_x, ids, vocab_size):
    d_embedding = np.zeros((vocab_size, d_x.shape[-1]), d_x.dtype)
    d_embedding[ids] = d_x
    return d_embedding


def size_held_constant(d_out, x, weight, eps):
    _, d_weight = right["rms_norm_backward"](d_out, x, weight, eps)
    return d_out * weight / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps), d_weight


def without_eps(d_out, x, weight, eps):
    return right["rms_norm_backward"](d_out, x, weight, 0.0)


def others_lose_nothing(d_out, weights):
    return d_out * weights


def only_the_sigmoid(d_out, x):
    return d_out * sigmoid(x)


def rotate_forward_again(d_out, rotations):
    return right["rotate_backward"](d_out, rotations.conj())


def forget_the_root(d_mix, q, k, v, pattern):
    d_q, d_k, d_v = right["attend_backward"](d_mix, q, k, v, pattern)
    return d_q * np.sqrt(q.shape[-1]), d_k * np.sqrt(q.shape[-1]), d_v


def swap_queries_and_keys(d_mix, q, k, v, pattern):
    return right["attend_backward"](d_mix, k + 0 * q, q[..., :1, :, :] + 0 * k, v, pattern)


def mean_over_the_group(d_mix, q, k, v, pattern):
    d_q, d_k, d_v = right["attend_grouped_backward"](d_mix, q, k, v, pattern)
    group = q.shape[-3] // k.shape[-3]
    return d_q, d_k / group, d_v / group


def gate_and_up_swapped(d_down, x, w_gate, w_up, w_down, gate, up, hidden):
    return right["swiglu_backward"](d_down, x, w_gate, w_up, w_down, up, gate, hidden)


def no_residual(d_out, layer, config, rotations, seen):
    d_x, d_layer = right["block_backward"](d_out, layer, config, rotations, seen)
    return d_x - d_out, d_layer


WRONG = {
    "cross_entropy_backward": [divided_by_all_positions, only_the_sign],
    "linear_backward": [mean_over_the_tokens],
    "embed_backward": [last_occurrence_wins],
    "rms_norm_backward": [size_held_constant, without_eps],
    "softmax_backward": [others_lose_nothing],
    "silu_backward": [only_the_sigmoid],
    "rotate_backward": [rotate_forward_again],
    "attend_backward": [forget_the_root, swap_queries_and_keys],
    "attend_grouped_backward": [mean_over_the_group],
    "swiglu_backward": [gate_and_up_swapped],
    "block_backward": [no_residual],
}


@pytest.mark.parametrize(
    "name, wrong",
    [(name, wrong) for name, all_of_it in WRONG.items() for wrong in all_of_it],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_rule_is_noticed(twin, house, monkeypatch, name, wrong):
    config, weights = house
    ids = random_ids(config, 2, 8) % 9  # some tokens occur more than once
    targets = ids[:, 1:].copy()
    targets[0, :3] = IGNORE
    compare(twin, config, weights, ids[:, :-1], targets)
    monkeypatch.setattr(backward, name, wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(twin, config, weights, ids[:, :-1], targets)
