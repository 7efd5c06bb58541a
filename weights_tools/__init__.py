"""Everything about files: read, convert, check and train Llamas. ``load_model`` is the door."""

from .load import DOLL_HOUSE, Model, load_model
from .tokenizers import load_tokenizer

__all__ = ["DOLL_HOUSE", "Model", "load_model", "load_tokenizer"]
