"""Palaver: a chat server that teams run themselves, and the four libraries underneath it."""

__version__ = "0.1.0"
