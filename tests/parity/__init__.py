"""Parity with official implementations: python -m tests.parity FILE.npz ..."""
