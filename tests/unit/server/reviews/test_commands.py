import pytest

from palaver.server.reviews.commands import Again, Ask, CommandError, Stop, Vote, parse


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/ask @gpt @opus Why?", Ask(("gpt", "opus"), "Why?")),
        ("/ask Why @gpt?", Ask((), "Why @gpt?")),
        ("/ask\n@gpt\n@opus\nTwo\n\n  lines", Ask(("gpt", "opus"), "Two\n\n  lines")),
        ("/ask  stop ", Stop()),
        ("/ask stop it", Ask((), "stop it")),
        ("/ask again", Again()),
        ("/vote b", Vote(best="B")),
        ("/vote A 7 b 10", Vote((("A", 7), ("B", 10)))),
    ],
)
def test_commands_are_read(text: str, command: object) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    "text",
    ["/ask", "/ask ", "/ask @gpt", "/ask @gpt @gpt why?", "/vote", "/vote 7", "/vote A 11", "/vote A -1", "/vote A 7 B",
     "/vote A 7 a 8", "/vote A x B 3", "/vote A \u0667"],
)  # fmt: skip
def test_what_cannot_be_understood_says_what_to_type(text: str) -> None:
    with pytest.raises(CommandError, match=r"/ask @|/vote|once"):
        parse(text)
