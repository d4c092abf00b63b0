"""What the demo answers: every set piece, the tour for the rest, always the same."""

from __future__ import annotations

import pytest

from hub.dialects.demo.answers import BROKEN, HELP, answer_to, tokens

SET_PIECES = ("help", "poem", "code", "table", "tools", "long", "echo a b", "你好", "anything")


def test_each_prompt_has_an_answer_of_its_own() -> None:
    answers = [answer_to(said) for said in SET_PIECES]
    assert len(set(answers)) == len(answers)
    assert answers == [answer_to(said) for said in SET_PIECES]


@pytest.mark.parametrize("word", [*(said.split()[0] for said in SET_PIECES[:-1]), *BROKEN])
def test_help_lists_every_prompt(word: str) -> None:
    assert f"| `{word}" in HELP or word == "help"


@pytest.mark.parametrize("said", ["Poem", " poem\n", "poem!", "poem about the sea"])
def test_the_first_word_decides(said: str) -> None:
    assert answer_to(said) == answer_to("poem")


def test_the_tour_shows_everything_that_streaming_breaks() -> None:
    tour = answer_to("What are you?").text
    assert "> What are you?" in tour
    for sign in (
        "\n## ",
        "\n1. ",
        "\n   - ",
        "\n| ",
        "\n```python\n",
        "流",
        "👩‍👩‍👧‍👦",
        "🇧🇷",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    ):
        assert sign in tour


def test_quotes_are_short_and_stay_quotes() -> None:
    tour = answer_to("one\ntwo").text
    assert "> one\n> two\n" in tour
    assert len(answer_to("x" * 10_000).text) < len(tour) + 300
    assert "> (nothing)\n" in answer_to("").text


def test_braces_in_a_prompt_are_only_braces() -> None:
    assert "> {said} {0}" in answer_to("{said} {0}").text


def test_echo_says_the_rest() -> None:
    assert answer_to("echo  a **b** 字").text == " a **b** 字"
    assert answer_to("echo").text == ""


def test_a_tool_is_quoted() -> None:
    assert "> 21 °C" in answer_to("21 °C", by_tool=True).text


def test_the_long_one_is_about_ten_thousand_tokens() -> None:
    assert 9_000 <= len(tokens(answer_to("long").text)) <= 11_000


@pytest.mark.parametrize("word", BROKEN)
def test_some_break(word: str) -> None:
    assert answer_to(word).ending == word
    assert len(tokens(answer_to(word).text)) > 100


@pytest.mark.parametrize("said", SET_PIECES)
def test_tokens_are_the_text_in_small_pieces(said: str) -> None:
    text = answer_to(said).text
    assert "".join(tokens(text)) == text
    assert max(map(len, tokens(text)), default=0) <= 9


def test_tokens() -> None:
    assert tokens("Hi there, 字字 naïve\n\n👍🏽") == [
        "Hi", " there", ",", " ", "字", "字", " naïve", "\n\n", "👍", "🏽",
    ]  # fmt: skip
