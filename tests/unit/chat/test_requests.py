"""From bytes to a request, or to a refusal that says what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat import requests

_SEND = {"type": "send", "id": "5", "room": "lobby", "text": "hello"}


@pytest.mark.parametrize(
    ("frame", "code", "re", "field"),
    [
        (b"", "invalid_json", None, None),
        (b"{", "invalid_json", None, None),
        (b"\xff\xfe", "invalid_json", None, None),
        (b'{"type":"ping","id":"\\ud800"}', "invalid_json", None, None),
        (b"NaN", "invalid_json", None, None),
        (b"[" * 100_000, "invalid_json", None, None),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "invalid_json", None, None),
        (b"[]", "invalid_frame", None, None),
        (b"7", "invalid_frame", None, None),
        (b"{}", "invalid_frame", None, "type"),
        (b'{"type":7,"id":"1"}', "invalid_frame", "1", "type"),
        (b'{"type":"dance","id":"1"}', "unknown_type", "1", "type"),
        (b'{"type":"send"}', "invalid_frame", None, "id"),
        (b'{"type":"send","id":""}', "invalid_frame", None, "id"),
        (json.dumps(_SEND | {"id": "x" * 65}).encode(), "invalid_frame", None, "id"),
        (json.dumps(_SEND | {"tex": "oops"}).encode(), "invalid_frame", "5", "tex"),
        (json.dumps(_SEND | {"text": 7}).encode(), "invalid_frame", "5", "text"),
        (json.dumps(_SEND | {"cid": ""}).encode(), "invalid_frame", "5", "cid"),
        (b'{"type":"history","id":"1","room":"x","before":-1}', "invalid_frame", "1", "before"),
        (b'{"type":"history","id":"1","room":"x","limit":101}', "invalid_frame", "1", "limit"),
        (b'{"type":"ping","id":"\xed\xa0\x80"}', "invalid_json", None, None),
        (b'{"type":"join","id":"1","room":"x","since":{"epoch":"e","seq":-1}}', "invalid_frame", "1", "since"),
        (
            b'{"type":"join","id":"1","room":"x","since":{"epoch":"e","seq":9007199254740992}}',
            "invalid_frame",
            "1",
            "since",
        ),
        (b'{"type":"join","id":"1","room":"x","since":{"epoch":"e"}}', "invalid_frame", "1", "since"),
        (b'{"type":"join","id":"1","room":"x","since":{"epoch":"e","seq":1,"x":1}}', "invalid_frame", "1", "since"),
    ],
)
def test_a_malformed_frame_is_named(frame: bytes, code: str, re: str | None, field: str | None) -> None:
    with pytest.raises(requests.Malformed) as caught:
        requests.decode(frame)

    assert (caught.value.code, caught.value.re, caught.value.field) == (code, re, field)
    assert caught.value.message.endswith(".") or caught.value.message


def test_sixteen_levels_are_not_too_deep_to_be_read() -> None:
    with pytest.raises(requests.Malformed) as caught:
        requests.decode(b'{"type":"ping","id":"1","x":' + b"[" * 15 + b"]" * 15 + b"}")

    assert caught.value.code == "invalid_frame"


@pytest.mark.parametrize("types", [("ping", "pong"), ("ping", "send")])
def test_a_type_that_is_there_twice_is_the_wrong_field(types: tuple[str, str]) -> None:
    with pytest.raises(requests.Malformed) as caught:
        requests.decode(b'{"type":"%s","id":"1","type":"%s"}' % (types[0].encode(), types[1].encode()))

    assert (caught.value.field, caught.value.re) == ("type", "1")


def test_brackets_in_a_text_are_no_nesting() -> None:
    request = requests.decode(json.dumps(_SEND | {"text": "[{" * 40}).encode())

    assert isinstance(request, requests.Send)


def _decode(data: bytes) -> requests.Request | requests.Malformed:
    try:
        return requests.decode(data)
    except requests.Malformed as wrong:
        return wrong


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    outcome = _decode(data)

    if isinstance(outcome, requests.Malformed):
        assert outcome.code in {"invalid_json", "invalid_frame", "unknown_type"}


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    kind=st.sampled_from(sorted(requests.TYPES)),
    fields=st.dictionaries(st.sampled_from(["id", "room", "text", "cid", "since", "sent", "user", "seq", "x"]), _json),
)
def test_nearly_right_frames_are_right_or_named(kind: str, fields: dict[str, object]) -> None:
    outcome = _decode(json.dumps({"type": kind, **fields}).encode())

    if isinstance(outcome, requests.Malformed):
        assert outcome.field is not None or outcome.code == "invalid_json"
    else:
        assert type(outcome) is requests.TYPES[kind]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("Send", "There is no request of type 'Send'. Did you mean 'send'?"),
        ("histroy", "There is no request of type 'histroy'. Did you mean 'history'?"),
        ("dance", "There is no request of type 'dance'."),
        ("send" * 9, f"There is no request of type {'send' * 9!r}."),
    ],
)
def test_a_mistyped_type_is_told_what_was_meant(kind: str, says: str) -> None:
    with pytest.raises(requests.Malformed) as caught:
        requests.decode(json.dumps({"type": kind, "id": "1"}).encode())
    assert caught.value.message == says
