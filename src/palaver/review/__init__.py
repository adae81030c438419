"""Blind peer review: several models answer, each grades all the others."""
