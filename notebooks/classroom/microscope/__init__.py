"""The microscope: a page that runs the model on one's own sentence and answers when it is touched.

``views`` turns a run of the model into arrays, ``answers`` reads what a page asks for, ``server``
hands both to a browser on this machine, ``offline`` writes what was opened into one file.
"""
