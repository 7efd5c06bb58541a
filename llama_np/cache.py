"""The key-value cache: what a token's successors will ask of it, kept instead of recomputed."""

import math
from typing import NamedTuple

import numpy as np

from .axes import Array
from .config import LlamaConfig


class LayerCache(NamedTuple):
    """One block's part of a ``KVCache``: what attention asks for all keys and values so far."""

    cache: "KVCache"
    i: int

    def update(
        self, k: Array["... Hkv T K"], v: Array["... Hkv T K"]
    ) -> tuple[Array["... Hkv S K"], Array["... Hkv S K"]]:
        """``KVCache.update`` for this block."""
        return self.cache.update(self.i, k, v)


class KVCache:
    """Rotated keys and values of every block, for up to ``max_length`` positions.

    Pass it to ``forward`` with only the new ids. The first call fills positions 0 to T - 1, so the
    next token stands at position T. A prompt may come in one call or in several.

    Memory is taken once, at the first write, in the dtype and with the leading batch axes of what
    is written: 2 * layers * Hkv * max_length * K numbers per sequence. After that nothing moves:
    attention reads views of it. Keys lie transposed, since every product reads them so.

    ``length`` is the number of positions filled. Raises ``ValueError`` when more are written than
    fit.
    """

    def __init__(self, config: LlamaConfig, max_length: int):
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        self.config = config
        self.max_length = max_length
        self.length = 0
        self.keys: np.ndarray | None = None  # layers ... Hkv max_length K
        self.values: np.ndarray | None = None

    def check_room(self, n_new: int) -> None:
        """Raise unless ``n_new`` more positions fit: called before anything is written."""
        if self.length + n_new > self.max_length:
            raise ValueError(
                f"the cache holds {self.length} of {self.max_length} positions and cannot take "
                f"{n_new} more; make it with a larger max_length, or call reset()"
            )

    def update(
        self, layer: int, k: Array["... Hkv T K"], v: Array["... Hkv T K"]
    ) -> tuple[Array["... Hkv S K"], Array["... Hkv S K"]]:
        """Write one block's new keys and values behind the old ones; return views of all so far.

        ``length`` moves only when ``forward`` has been through every block: see ``advance``.
        """
        n_new = k.shape[-2]
        self.check_room(n_new)
        if self.keys is None:
            shape = (self.config.n_layers, *k.shape[:-2], self.max_length, k.shape[-1])
            self.keys, self.values = self.take(shape, k.dtype, v.dtype)
        expected = (*self.keys.shape[1:-2], n_new, self.keys.shape[-1])
        if k.shape != expected:
            raise ValueError(
                f"the cache holds sequences of shape {expected[:-3]} with {expected[-3]} heads of "
                f"width {expected[-1]}, got keys of shape {k.shape}; use one cache per batch"
            )
        end = self.length + n_new
        self.keys[layer, ..., self.length : end, :] = k
        self.values[layer, ..., self.length : end, :] = v
        return self.keys[layer, ..., :end, :], self.values[layer, ..., :end, :]

    def take(
        self, shape: tuple[int, ...], k_dtype: np.dtype, v_dtype: np.dtype
    ) -> tuple[np.ndarray, np.ndarray]:
        """Room for all keys and all values, each ``shape``; keys lie as q @ k^T reads them."""
        *outer, length, width = shape
        try:
            upright = np.empty((*outer, width, length), k_dtype)
            return upright.swapaxes(-1, -2), np.empty(shape, v_dtype)
        except (MemoryError, ValueError):  # the latter for a size that no machine could have
            size = math.prod(shape) * (k_dtype.itemsize + v_dtype.itemsize) / 1e9
            raise ValueError(
                f"a cache for {self.max_length} positions takes {size:,.1f} GB, which this machine "
                "has not; make it shorter (max_length, max_new_tokens, --max-new-tokens)"
            ) from None

    def layer(self, i: int) -> LayerCache:
        """The part of block ``i``."""
        return LayerCache(self, i)

    def advance(self, n_new: int) -> None:
        """Count ``n_new`` positions as filled."""
        self.length += n_new

    def reset(self) -> None:
        """Forget everything, keep the memory."""
        self.length = 0

    def fork(self, copies: int | None = None) -> "KVCache":
        """An independent cache with the same past, to continue one prompt in several ways.

        ``copies`` adds a leading batch axis: ``fork(3)`` holds the past three times, for ids of
        shape (3, T).
        """
        twin = KVCache(self.config, self.max_length)
        twin.length = self.length
        if self.keys is not None:
            batch = () if copies is None else (copies,)
            layers, *rest = self.keys.shape
            shape, dtypes = (layers, *batch, *rest), (self.keys.dtype, self.values.dtype)
            twin.keys, twin.values = self.take(shape, *dtypes)
            past = np.s_[..., : self.length, :]
            lead = (slice(None), *(None for _ in batch))
            twin.keys[past] = self.keys[lead][past]
            twin.values[past] = self.values[lead][past]
        return twin

    @property
    def nbytes(self) -> int:
        """Bytes taken so far: 0 before the first write."""
        return 0 if self.keys is None else self.keys.nbytes + self.values.nbytes
