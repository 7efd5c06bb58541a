"""Reading: one module per format, and what it takes apart. Each has an ``open_...`` function."""
