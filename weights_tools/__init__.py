"""Everything about files: read, convert, check and train Llamas. ``load_model`` is the door."""

from .load import Model, load_model

__all__ = ["Model", "load_model"]
