"""The host link's gateware against a model that was written from its specification."""

import json
import re
from pathlib import Path

import pytest
from cocotb_harness import BUILD, ROOT, run_cocotb
from link_model import BoardModel
from link_system import BUFFER, CLOCK_HZ, CONTROL, DIGEST, INDEX, VALUE, LinkSystem

from narrows.hw.link.frame import FrameReceiver
from narrows.hw.link.host import Link
from narrows.hw.link.protocol import Command, Result
from narrows.link.frame import TURNED_AWAY, Reply


def examples() -> list[tuple[str, str]]:
    """Commands and replies of the specification's example, in hexadecimal."""
    text = (ROOT / "docs" / "link.md").read_text().split("## An example")[1]
    blocks = [re.sub(r"\s+", " ", block.strip()) for block in re.findall(r"(?:^    [0-9A-F ]+\n)+", text, re.MULTILINE)]
    assert len(blocks) == 4
    return list(zip(blocks[::2], blocks[1::2]))


def test_link():
    cases = Path(BUILD) / "cases" / "link_example.json"
    cases.parent.mkdir(parents=True, exist_ok=True)
    cases.write_text(json.dumps(examples()))
    run_cocotb(LinkSystem(), "bench_link", cases=cases)


def test_model_answers_the_example():
    model = BoardModel(memory=bytearray(1 << 25), read_register=lambda _: 0, write_register=lambda *_: None)
    for sent, answered in examples():
        assert model.receive(bytes.fromhex(sent)) == bytes.fromhex(answered)


def test_the_frame_of_a_board_that_is_taken():
    """As the specification writes it."""
    text = (ROOT / "docs" / "link.md").read_text().split("## A board that is taken")[1].split("\n## ")[0]
    frame, = re.findall(r"^    ((?:[0-9A-F]{2} ?)+)$", text, re.MULTILINE)
    assert bytes.fromhex(frame) == TURNED_AWAY
    reply = Reply.of(TURNED_AWAY[1:-1])
    assert reply is not None and (reply.command, reply.result) == (Command.HELLO, 255)
    assert reply.result not in list(Result)


def test_refused_sizes():
    with pytest.raises(ValueError, match=r"power of two of bytes, 2076 or more, not 2048"):
        FrameReceiver(size=2048)
    with pytest.raises(ValueError, match=r"must be 1 to 2\*\*32 - 1 Hz, not 0"):
        Link(digest=DIGEST, clock_hz=0, control=CONTROL, index=INDEX, value=VALUE, buffer=BUFFER)
    assert CLOCK_HZ < 1 << 32
