"""Pictures: ``show.matrix``, ``show.curves`` and others, one figure each.

Each function returns nothing, so that the last line of a notebook cell can be a picture.
"""

from .base import before_showing
from .curves import arrows, bar_panels, bars, curves, paths, points, regions, tracks
from .diagrams import cache_frames, computation, hands, head_sharing, streams
from .live import microscope
from .maps import attention_map, gate_map, model_map, two_blocks, two_processors
from .matrices import matrices, matrix, one_cell, to_scale, written
from .text import reads, sampling_line, splits, tokens
from .words import Labels

__all__ = [
    "Labels", "arrows", "attention_map", "bar_panels", "bars", "before_showing", "cache_frames",
    "computation", "curves", "gate_map", "hands", "head_sharing", "matrices", "matrix",
    "microscope", "model_map", "one_cell", "paths", "points", "reads", "regions", "sampling_line",
    "splits", "streams", "to_scale", "tokens", "tracks", "two_blocks", "two_processors", "written",
]  # fmt: skip
