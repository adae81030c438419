"""Blind peer review in the chat server: rooms and HTTP callers ask models, and watch them judge each other's answers.

`owner` is the one object that the server holds; start there. `commands` reads what people type, `shelf` keeps the
evaluations on disk, `running` drives one of them, `live` and `voice` tell its room, `budget` counts the money.
"""
