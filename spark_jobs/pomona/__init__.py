"""Pomona: keeps an image classifier in step with the pictures people send it."""

__version__ = "0.1.0"
