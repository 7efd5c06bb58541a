"""Text to token ids and back, and the dialog format of Llama 3."""

from .base import Tokenizer, stream_text
from .bpe import BPETokenizer
from .chat import encode_dialog

__all__ = ["BPETokenizer", "Tokenizer", "encode_dialog", "stream_text"]
