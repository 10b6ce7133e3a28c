"""Frames, cut from bytes that come in any pieces, against what was put in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.adapters.ticks.frames import BINARY, CLOSE, PING, PONG, TEXT, Frames, Message

LIMIT = 200_000


def frame(opcode: int, payload: bytes, *, last: bool = True, mask: bytes = b"", wide: int = 0) -> bytes:
    """One frame by hand; `wide` makes it use a longer length than it needs."""
    size = len(payload)
    if size < 126 and wide < 2:
        head = bytes([size | (0x80 if mask else 0)])
    elif size <= 0xFFFF and wide < 8:
        head = bytes([126 | (0x80 if mask else 0)]) + size.to_bytes(2, "big")
    else:
        head = bytes([127 | (0x80 if mask else 0)]) + size.to_bytes(8, "big")
    if mask:
        payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return bytes([opcode | (0x80 if last else 0)]) + head + mask + payload


def fed(data: bytes, cuts: list[int]) -> tuple[Frames, list[Message]]:
    frames, out, at = Frames(LIMIT), list[Message](), 0
    for cut in [*sorted(cuts), len(data)]:
        out += frames.take(data[at:cut])
        at = cut
    return frames, out


SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65535, 65536, 70000]))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """(the bytes of some messages, the messages): whole, in pieces, with control frames in between, masked or not."""
    data, told = b"", list[Message]()

    def control() -> None:
        nonlocal data
        if draw(st.booleans()):
            opcode, payload = draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))
            data += frame(opcode, payload)
            told.append((opcode, payload))

    for _ in range(draw(st.integers(1, 5))):
        control()
        opcode, payload = draw(st.sampled_from([TEXT, TEXT, BINARY])), b"x" * draw(SIZES)
        mask = draw(st.sampled_from([b"", b"", b"\x01\x02\x03\x04", b"\0\0\0\0"]))
        wide = draw(st.sampled_from([0, 2, 8]))
        pieces = draw(st.integers(1, 3))
        step = len(payload) // pieces + 1
        for n in range(pieces):
            part, last = payload[n * step : (n + 1) * step], n == pieces - 1
            data += frame(opcode if n == 0 else 0, part, last=last, mask=mask, wide=wide)
            if not last:
                control()
        told.append((opcode, payload))
    return data, told


@given(conversations(), st.data())
def test_messages_come_out_as_they_went_in_however_the_bytes_were_cut(
    given_: tuple[bytes, list[Message]], data: st.DataObject
) -> None:
    sent, told = given_
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=12))
    frames, out = fed(sent, cuts)
    assert out == told
    assert frames.fault is None
    assert frames.unfinished is None


def test_bytes_that_come_one_by_one_make_the_same_messages() -> None:
    sent = frame(TEXT, b"a" * 130) + frame(PING, b"") + frame(TEXT, b"") + frame(TEXT, b"z" * 66_000)
    frames, out = fed(sent, list(range(700)))
    assert out == [(TEXT, b"a" * 130), (PING, b""), (TEXT, b""), (TEXT, b"z" * 66_000)]
    assert frames.unfinished is None


def test_what_is_unfinished_is_named_by_where_it_began() -> None:
    frames = Frames(LIMIT)
    whole = frame(TEXT, b"x" * 200)
    assert frames.unfinished is None
    frames.take(whole + whole[:1])
    assert frames.unfinished == len(whole)
    frames.take(whole[1:50])
    assert frames.unfinished == len(whole)
    frames.take(whole[50:] + whole[:7])
    assert frames.unfinished == 2 * len(whole)
    frames.take(whole[7:])
    assert frames.unfinished is None


def test_a_message_in_pieces_is_unfinished_from_its_first_one_whatever_comes_between() -> None:
    frames = Frames(LIMIT)
    frames.take(frame(PONG, b""))
    frames.take(frame(TEXT, b"a", last=False))
    began = frames.unfinished
    assert began == len(frame(PONG, b""))
    assert frames.take(frame(PING, b"?")) == [(PING, b"?")]
    assert frames.take(frame(0, b"b", last=False)) == []
    assert frames.unfinished == began
    assert frames.take(frame(0, b"c")) == [(TEXT, b"abc")]
    assert frames.unfinished is None


BROKEN = [
    (b"\x91\x01a", "reserved bits"),
    (b"\xc1\x01a", "reserved bits"),
    (b"\x83\x00", "unknown kind 3"),
    (b"\x8b\x00", "unknown kind 11"),
    (b"\x09\x00", "control frame"),
    (b"\x89\x7e\x00\x7e", "control frame"),
    (b"\x88\x7f" + bytes(8), None),  # a close of no bytes, said in eight: odd, but true
    (b"\x80\x00", "a piece of no message"),
    (b"\x00\x00", "a piece of no message"),
    (b"\x01\x01a\x81\x01b", "a message within another"),
    (b"\x01\x01a\x82\x01b", "a message within another"),
    (b"\x81\x7f" + (LIMIT + 1).to_bytes(8, "big"), "200001 bytes"),
    (b"\x81\x7f" + b"\xff" * 8, "bytes"),
    (frame(TEXT, b"x" * 150_000, last=False) + frame(0, b"x" * 60_000), "60000 bytes"),
]


@pytest.mark.parametrize(("sent", "why"), BROKEN, ids=range(len(BROKEN)))
def test_what_breaks_the_protocol_is_named_after_what_came_before_it(sent: bytes, why: str | None) -> None:
    frames, out = fed(frame(TEXT, b"good") + sent, [])
    assert out[0] == (TEXT, b"good")
    if why is None:
        assert out[1:] == [(CLOSE, b"")]
        assert frames.fault is None
    else:
        assert out[1:] == []
        assert frames.fault is not None
        assert why in frames.fault
        assert frames.take(frame(TEXT, b"more")) == []


def test_a_frame_that_is_too_long_is_refused_by_its_head_alone() -> None:
    frames = Frames(LIMIT)
    assert frames.take(b"\x81\x7f" + (10_000_000).to_bytes(8, "big")) == []
    assert frames.fault is not None


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_at_all_are_messages_or_a_fault_and_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    whole, once = fed(data, [])
    cut, often = fed(data, [c for c in cuts if c <= len(data)])
    assert once == often
    assert whole.fault == cut.fault
    json.dumps([kind for kind, _ in once])
