"""Tests stand outside and compare every step with PyTorch."""
