"""The microscope: a page that runs the model on one's own sentence and answers when it is touched.

``runs`` sends a sentence through the model, changed as ``interventions`` says; ``views`` and
``products`` read what it recorded; ``answers`` checks what a page asks for, ``state`` what its
address says. ``server`` hands that to a browser on this machine, ``notebook`` to a notebook,
``offline`` writes what was opened into one file. The page lies in ``page``.
"""
