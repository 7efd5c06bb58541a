"""Pictures: ``show.matrix``, ``show.curves`` and others, one figure each.

Each function returns nothing, so that the last line of a notebook cell can be a picture.
"""

from .base import Labels, before_showing
from .curves import arrows, bar_panels, bars, curves, points, regions
from .diagrams import computation, head_sharing, model_map
from .matrices import matrices, matrix, to_scale, written
from .text import splits, tokens

__all__ = [
    "Labels", "arrows", "bar_panels", "bars", "before_showing", "computation", "curves",
    "head_sharing", "matrices", "matrix", "model_map", "points", "regions", "splits", "to_scale",
    "tokens", "written",
]  # fmt: skip
