"""`python -m mulligan`, which torchrun needs."""

from .cli import main

main()
