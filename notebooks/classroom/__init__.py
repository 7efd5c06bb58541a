"""The classroom: exercises that check themselves, offline, and know the usual mistakes.

``check("rms_norm", my_rms_norm)`` in an exercise says at once whether a function is right, and if
not, why. What passes is kept and offered as ``mine.rms_norm``, so that the last exercise can run a
model made of nothing else. ``progress()`` draws how far you are, ``hand_in("name.json")`` writes it
down for a teacher, and ``python -m classroom collect FOLDER`` puts a class together.
"""

from .check.check import Outcome, check
from .check.kept_functions import mine
from .check.predict import predict
from .progress import hand_in, progress

__all__ = ["Outcome", "check", "hand_in", "mine", "predict", "progress"]
