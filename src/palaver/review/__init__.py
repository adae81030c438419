"""Blind peer review of answers: N models answer, each judges all the others."""
