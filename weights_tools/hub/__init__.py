"""Getting a model from the Hugging Face hub."""
