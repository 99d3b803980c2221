"""Mulligan: a GAN toolkit in plain PyTorch."""
