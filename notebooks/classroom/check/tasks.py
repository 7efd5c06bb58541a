"""The exercises, in the order of the course: what is asked, and how it is checked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from llama_np.attention import (
    attend,
    attend_grouped,
    causal_mask,
    mask_scores,
    merge_heads,
    split_heads,
)
from llama_np.feed_forward import feed_forward_width, swiglu
from llama_np.functional import silu, softmax
from llama_np.model import embed, forward
from llama_np.norm import layer_norm, rms_norm
from llama_np.rope import rotate
from llama_np.sampling import keep_top_k, keep_top_p
from llama_np.training.backward import cross_entropy_backward, softmax_backward
from llama_np.training.lora import lora_linear
from llama_np.training.preference import dpo_loss, dpo_loss_backward
from llama_np.training.rewards import clipped_gain, group_advantages, kl_estimate

from . import (
    final_task,
    gpt2_parts,
    inputs,
    learning,
    preferences,
    pretraining,
    references,
    rewards,
    tuning,
)
from .inputs import normal


class Task(NamedTuple):
    """``draw(rng, case)`` gives the arguments of one call; a check makes ``cases`` of them.

    Where ``draw`` itself says how many it has (``@inputs.cases(5)``), that counts. ``tolerance`` is
    the largest difference that passes, relative to the largest number expected: what an answer in
    float32 keeps, while a mistake changes a hundred times as much. ``unformed`` gives, of the
    arguments of the last case, the bytes of an array that an answer may not form on its way.
    """

    name: str
    lesson: str
    reference: Callable
    draw: Callable[[np.random.Generator, int], tuple]
    cases: int = 3
    tolerance: float = 1e-5
    unformed: Callable[..., int] | None = None


def plain(forward):
    """``forward`` with the three arguments that the exercise has."""
    return lambda weights, config, ids: forward(weights, config, ids)


ONE = {"T": 1}
SAME = {"T": 4, "S": 4, "K": 4}
ORDER = [
    Task("next_token", "00_start_here", references.next_token, inputs.rows_of_logits),
    Task("n_best", "00_start_here", references.n_best, inputs.scores_and_number),
    Task("to_bytes", "01_tokens", references.to_bytes, inputs.text_as_bytes),
    Task("first_join", "01_tokens", references.first_join, inputs.parts_of_a_piece),
    Task("merge", "01_tokens", references.merge, inputs.a_piece),
    Task("encode", "01_tokens", references.encode, inputs.some_pieces),
    Task("decode", "01_tokens", references.decode, inputs.ids_of_a_text),
    Task("embed", "02_embedding", embed, inputs.look_up),
    Task("one_hot", "02_embedding", references.one_hot, inputs.ids_and_vocabulary),
    Task("cosines", "02_embedding", references.cosines, inputs.row_and_rows),
    Task("row_sizes", "03_rms_norm", references.row_sizes, inputs.rows_off_centre),
    Task("rms_norm", "03_rms_norm", rms_norm, inputs.norm),
    Task("scores", "04_single_head_attention", references.scores,
         normal("T K", "S K", also=(ONE, {"S": 1}, SAME, {"K": 1}))),
    Task("softmax", "04_single_head_attention", softmax, inputs.rows_of_scores),
    Task("mix", "04_single_head_attention", references.mix,
         normal("T K", "S K", "S K", also=(ONE, {"S": 1}, SAME))),
    Task("frequencies", "05_rope", references.frequencies, inputs.width_and_theta),
    Task("angles", "05_rope", references.angles, inputs.positions_and_frequencies),
    Task("rotate", "05_rope", rotate, inputs.to_rotate),
    Task("causal_mask", "06_masking", causal_mask, inputs.two_positions),
    Task("mask_scores", "06_masking", mask_scores, inputs.scores_and_mask),
    Task("attend", "06_masking", attend, inputs.to_attend),
    Task("split_heads", "07_multi_head", split_heads, inputs.long_rows),
    Task("merge_heads", "07_multi_head", merge_heads,
         normal("H T K", also=(ONE, {"H": 1}, {"K": 1}, {"H": 3, "T": 3, "K": 3}))),
    Task("key_head", "07_multi_head", references.key_head, inputs.which_head),
    Task("attend_grouped", "07_multi_head", attend_grouped, inputs.grouped),
    Task("attention", "07_multi_head", references.attention, inputs.attention_step),
    Task("silu", "08_feed_forward", silu, inputs.any_shape),
    Task("swiglu", "08_feed_forward", swiglu, inputs.gates),
    Task("ffn_width", "08_feed_forward", feed_forward_width, inputs.widths),
    Task("block", "09_32_blocks", references.block, inputs.a_block),
    Task("count_block", "09_32_blocks", references.count_block, inputs.block_sizes),
    Task("logits", "10_logits", references.logits, inputs.last_rows),
    Task("probabilities", "10_logits", references.probabilities, inputs.logits_and_temperature),
    Task("keep_top_k", "10_logits", keep_top_k, inputs.probabilities_and_number),
    Task("keep_top_p", "10_logits", keep_top_p, inputs.probabilities_and_share),
    Task("new_positions", "11_kv_cache", references.new_positions, inputs.past_and_new),
    Task("chunk_mask", "11_kv_cache", references.chunk_mask, inputs.past_and_new),
    Task("append_keys", "11_kv_cache", references.append_keys, inputs.old_and_new_keys),
    Task("cache_bytes", "11_kv_cache", references.cache_bytes, inputs.cache_sizes),
    Task("forward", "12_generation", plain(forward), inputs.model_and_ids),
    Task("generate", "12_generation", references.generate,
         inputs.model_and_stop(references.generate)),
    Task("story", "12_generation", final_task.told, final_task.draw),
    Task("add_positions", "13_gpt2_to_llama", gpt2_parts.add_positions, gpt2_parts.rows_and_places),
    Task("layer_norm", "13_gpt2_to_llama", layer_norm, gpt2_parts.norm_with_shift),
    Task("gelu_feed_forward", "13_gpt2_to_llama", gpt2_parts.gelu_feed_forward,
         gpt2_parts.two_layers),
    Task("pool_heads", "13_gpt2_to_llama", gpt2_parts.pool_heads, gpt2_parts.heads_to_pool),
    Task("d_weight", "14_tensors_and_gradients", learning.d_weight, learning.gradient_and_rows),
    Task("descend", "14_tensors_and_gradients", learning.descend, learning.one_row_to_step),
    Task("velocity", "14_tensors_and_gradients", learning.velocity, learning.gradients_and_keep),
    Task("adam", "14_tensors_and_gradients", learning.adam, learning.weights_and_gradients),
    Task("d_logits", "15_backward", cross_entropy_backward, inputs.logits_and_targets),
    Task("accumulate", "15_backward", references.accumulate, inputs.parts_of_a_batch),
    Task("norm_backward", "15_backward", references.norm_backward, inputs.behind_a_norm),
    Task("softmax_backward", "15_backward", softmax_backward, inputs.behind_a_softmax),
    Task("attend_backward", "15_backward", references.attend_backward, inputs.behind_a_head),
    Task("rows", "16_pretraining", pretraining.rows, pretraining.a_stretch),
    Task("adamw", "16_pretraining", pretraining.adamw, pretraining.weights_in_training),
    Task("clip", "16_pretraining", pretraining.clip, pretraining.some_gradients),
    Task("schedule", "16_pretraining", pretraining.schedule, pretraining.a_place_in_a_run),
    Task("pretrain", "16_pretraining", pretraining.pretrain, pretraining.a_small_run),
    Task("answer_targets", "17_fine_tuning", tuning.answer_targets, tuning.a_dialog),
    Task("lora_start", "17_fine_tuning", tuning.lora_start, tuning.numbers_to_start),
    Task("lora_linear", "17_fine_tuning", lora_linear, tuning.rows_beside,
         unformed=tuning.bytes_of_product),
    Task("lora_gradients", "17_fine_tuning", tuning.lora_gradients, tuning.behind_a_pair,
         unformed=tuning.bytes_of_product),
    Task("merged", "17_fine_tuning", tuning.merged, tuning.a_pair),
    Task("preference", "18_preferences", preferences.preference, preferences.two_rewards),
    Task("tilt", "18_preferences", preferences.tilt, preferences.a_world),
    Task("answer_log_p", "18_preferences", preferences.answer_log_p, preferences.a_dialog),
    Task("dpo_loss", "18_preferences", dpo_loss, preferences.judged_pairs),
    Task("dpo_backward", "18_preferences", dpo_loss_backward, preferences.judged_pairs),
    Task("reinforce", "19_rewards", rewards.reinforce, rewards.groups_of_rewards),
    Task("group_advantages", "19_rewards", group_advantages, rewards.some_groups),
    Task("kl_estimate", "19_rewards", kl_estimate, rewards.two_models),
    Task("clipped_gain", "19_rewards", clipped_gain, rewards.to_clip),
    Task("grpo_loss", "19_rewards", rewards.grpo_loss, rewards.a_group),
]  # fmt: skip
TASKS = {task.name: task for task in ORDER}
# Lessons whose exercise asks for a number, too, and why it is so.
MEASURED = (*(f"{n:02d}" for n in range(14)), "14", "15", "16", "17", "18", "19")
