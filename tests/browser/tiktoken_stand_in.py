"""A stand-in for tiktoken in a Pyodide that has none: byte-pair encoding, slow, of ASCII alone."""

import re

# Llama 3's pattern for ASCII: Python's `re` knows no \p{L}.
PATTERN = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}"
    r"| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Encoding:
    def __init__(self, name, *, pat_str, mergeable_ranks, special_tokens):
        self.ranks = mergeable_ranks

    def encode_ordinary(self, text):
        from llama_np.tokenizer.bpe import merge_pairs

        return [
            self.ranks[token]
            for piece in PATTERN.findall(text)
            for token in merge_pairs(piece.encode(), self.ranks)[-1]
        ]
