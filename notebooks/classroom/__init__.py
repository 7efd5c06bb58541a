"""The classroom: what lessons and exercises need besides the model itself.

Lessons hold two results together (``agree``), show code (``source``), lay out tables (``table``)
and draw (``from classroom import show``). ``check("rms_norm", my_rms_norm)`` in an exercise says at
once, offline, whether a function is right, and if not, why. What passes is kept and offered as
``mine.rms_norm``, so that the last exercise can run a model made of nothing else. ``progress()``
draws how far you are, ``hand_in("name.json")`` writes it down for a teacher, and
``python -m classroom collect FOLDER`` puts a class together.
"""

from .agree import agree, numerical_gradient
from .check.examine import Outcome, check
from .check.kept_functions import mine
from .check.measure import measure
from .check.predict import predict
from .explore import explore
from .progress import hand_in, progress
from .source import source
from .table import shapes, sizes, table

__all__ = [
    "Outcome", "agree", "check", "explore", "hand_in", "measure", "mine",
    "numerical_gradient", "predict", "progress", "shapes", "sizes", "source", "table",
]  # fmt: skip
