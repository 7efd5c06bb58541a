"""Lesson 12, the whole model, and the loop."""

import numpy as np

from llama_np.attention import causal_mask
from llama_np.model import forward
from llama_np.norm import rms_norm
from llama_np.rope import rope_frequencies

from ..check.references import block
from .registry import wrong


def forward_with(layers=lambda layers: layers, visible=causal_mask, norm=True):
    """The plain forward pass with something else in one of its places."""

    def run(weights, config, ids):
        positions = np.arange(len(ids))
        frequencies = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        mask, x = visible(positions, positions), weights.embedding[ids]
        for layer in layers(weights.layers):
            x = block(x, layer, config, positions, frequencies, mask)
        return (rms_norm(x, weights.norm, config.norm_eps) if norm else x) @ weights.output

    return run


@wrong("the last norm is left out", "10/norm-why", task="forward")
def forward_without_the_last_norm(weights, config, ids):
    """Behind the last block the rows are normalised once more."""
    return forward_with(norm=False)(weights, config, ids)


@wrong("every block used the weights of the first", "09/loop-why", task="forward")
def first_weights_everywhere(weights, config, ids):
    """The code is the same for every block, the weights are not."""
    return forward_with(layers=lambda layers: layers[:1] * len(layers))(weights, config, ids)


@wrong("only one block was run", "09/loop-why", task="forward")
def only_the_first_block(weights, config, ids):
    """The output of each block goes into the next, through all of them."""
    return forward_with(layers=lambda layers: layers[:1])(weights, config, ids)


@wrong("the blocks ran in reverse order", "09/loop-why", task="forward")
def blocks_backwards(weights, config, ids):
    """The first block reads the embedding, the last one writes for the output."""
    return forward_with(layers=lambda layers: layers[::-1])(weights, config, ids)


@wrong("the mask is not used", "06/without-why", task="forward")
def forward_without_a_mask(weights, config, ids):
    """Every token would read the future, which the model was not trained for."""
    return forward_with(visible=lambda q, k: np.ones((len(q), len(k)), bool))(weights, config, ids)


def written(weights, config, ids, n_new, stop_ids=(), keep_stop=False, grow=True):
    """The plain loop with something else in one of its places."""
    text, new = list(ids), []
    while len(new) < n_new:
        token = int(forward(weights, config, np.array(text))[-1].argmax())
        if token in stop_ids:
            return [*new, token] if keep_stop else new
        new.append(token)
        text = [*text, token] if grow else text
    return new


@wrong("the stop token became part of the text", "12/experiment-answer", task="generate")
def stop_token_kept(weights, config, ids, n_new, stop_ids):
    """The loop ends before the stop token: it says that the text is over and is no part of it."""
    return written(weights, config, ids, n_new, stop_ids, keep_stop=True)


@wrong("stop tokens were not looked for", "12/stop-why", task="generate")
def nobody_stops(weights, config, ids, n_new, stop_ids):
    """To the loop a stop token is a token like any other, unless the loop looks for it."""
    return written(weights, config, ids, n_new)


@wrong("the prompt came out as well", "12/loop-why", task="generate")
def prompt_came_out(weights, config, ids, n_new, stop_ids):
    """Only the new tokens are the answer: whoever calls has the prompt already."""
    return [*map(int, ids), *written(weights, config, ids, n_new, stop_ids)]


@wrong("the new token was not put behind the text", "12/loop-why", task="generate")
def text_does_not_grow(weights, config, ids, n_new, stop_ids):
    """Each new token becomes part of the next input: otherwise the question is always the same."""
    return written(weights, config, ids, n_new, stop_ids, grow=False)
