"""From a text file to a model."""
