"""What a reward costs: models that were moved in four ways, measured with the same requests."""
