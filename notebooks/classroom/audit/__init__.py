"""Can a check be fooled? Every solution, changed in every small way, must fail its check.

``python -m classroom.audit`` for whoever writes tasks: a mutant that passes shows a case that the
inputs of its task lack, unless it gives the same results (``equivalent.py`` says why).
"""
