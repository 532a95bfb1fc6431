"""Bad lines and lost connections between driver and board: the right bytes or a clear error, never a wrong answer, never a hang."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from engine_model import EngineModel, Server
from engine_runs import SMALL
from faulty_proxy import Cut, Proxy
from test_board_device import made, pictures, right

from narrows.device.device import Device
from narrows.hw.link.protocol import Command
from narrows.link.client import BLOCK
from narrows.link.frame import LinkError

#: Seconds that one frame may take, whatever happens to it: the driver's own limits are a tenth of it.
LONG = 30

#: A byte in so many is damaged.
RATE = 1 / 2000

#: An error of these is clear: what the matter is, and where.
CLEAR = r"can't be (opened|read|written)|does not answer|stopped answering|begun anew|without an answer|The engine was reset|refused"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board of this machine is there again at once."""
    monkeypatch.setattr("narrows.device.device._BACKOFF", 0.02)
    # pyserial sleeps when it closes a socket; it needs nothing else of the module.
    monkeypatch.setattr("serial.urlhandler.protocol_socket.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(lambda: EngineModel(made(), looks=2))
    yield server
    server.close()


@pytest.fixture
def proxied(server: Server) -> Iterator[Callable[..., Proxy]]:
    proxies: list[Proxy] = []

    def make(**options) -> Proxy:
        proxies.append(Proxy(server.port, **options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


def connect(proxy: Proxy, **options) -> Device:
    return Device.open(proxy.url, config=SMALL, patience=0.05, **options)


def tried(work: Callable[[], bool]) -> bool:
    """Whether ``work`` ended well; a clear error is the only other end, and it does not take long."""
    begin, error = time.monotonic(), ""
    try:
        assert work(), "a wrong answer"
    except LinkError as caught:
        error = str(caught)
        print(error)
    assert not error or re.search(CLEAR, error)
    assert time.monotonic() - begin < LONG
    return not error


def run_frames(proxy: Proxy, count: int, **options) -> int:
    """So many frames, each on a new connection if the last one was given up; how many of them were right."""
    program, network = made()
    good, device = 0, None
    for picture in pictures(count, network):

        def frame(picture=picture) -> bool:
            nonlocal device
            device = device or connect(proxy, **options)
            device.load(program)
            return right(network, picture, device.run(picture).output)

        if tried(frame):
            good += 1
        elif device is not None:
            device.close()
            device = None
    if device is not None:
        device.close()
    return good


def test_200_frames_over_a_bad_line(proxied):
    proxy = proxied(faults=RATE)
    good = run_frames(proxy, 200)
    print(f"{good} of 200 frames, {proxy.damaged} bytes damaged")
    assert proxy.damaged > 100
    assert good == 200, "at this rate every frame comes through, some of them repeated"


def test_a_stream_over_a_bad_line(proxied):
    program, network = made()
    images = pictures(40, network)
    with connect(proxied(faults=RATE, seed=2)) as device:
        device.load(program)
        for image, frame in zip(images, device.stream(images), strict=True):
            assert right(network, image, frame.output)


def test_a_line_so_bad_that_frames_are_given_up(proxied):
    """A byte in eighty: a few frames come through, or none, and none of them is wrong."""
    good = run_frames(proxied(faults=1 / 80, seed=3), 3, attempts=1)
    print(f"{good} of 3 frames")


@pytest.mark.parametrize("replies", [False, True], ids=["command", "reply"])
@pytest.mark.parametrize("number", Command)
def test_a_connection_cut_inside_of_every_kind_of_transfer(proxied, number: Command, replies: bool):
    """Once: the driver connects again and goes on, but that a board which can't be opened at first is an error at once."""
    program, network = made()
    proxy = proxied(cut=Cut(int(number), replies, count={Command.HELLO: 1, Command.READ_REGISTER: 12}.get(number, 2)))
    image, other = pictures(2, network)

    def work() -> bool:
        with connect(proxy) as device:
            device.load(program)
            return all(right(network, picture, device.run(picture).output) for picture in (image, other, image))

    assert tried(work) == (number != Command.HELLO)
    assert proxy.cut.done, "nothing was cut"
    assert tried(work)


def test_a_cut_in_the_middle_of_a_stream_is_an_error_where_no_second_attempt_is_allowed(proxied):
    program, network = made()
    proxy = proxied(cut=Cut(int(Command.WRITE_MEMORY), False, count=-(-len(program.image) // BLOCK) + 13))
    images, done = pictures(20, network), []

    def run() -> None:
        for image, frame in zip(images, device.stream(images), strict=True):
            done.append(right(network, image, frame.output))

    with connect(proxy, attempts=1) as device:
        device.load(program)
        with pytest.raises(LinkError, match=CLEAR):
            run()
        assert all(done) and 3 < len(done) < 20
        assert right(network, images[0], device.run(images[0]).output), "and works when it is asked again"


def test_a_board_that_loses_its_power_in_the_middle_of_a_stream(server, proxied):
    program, network = made()
    images = pictures(12, network)
    with connect(proxied()) as device:
        device.load(program)
        for number, (image, frame) in enumerate(zip(images, device.stream(images), strict=True)):
            assert right(network, image, frame.output)
            if number in (3, 7):
                server.restart()
        assert server.board.starts == 4, "the rest ran on the last board, whose memory was empty"


def test_a_board_that_goes_away_and_comes_back(server, proxied):
    program, network = made()
    proxy = proxied()
    image = pictures(1, network)[0]
    with connect(proxy) as device:
        device.load(program)
        server.restart()
        port, proxy.target = proxy.target, 1  # nobody listens there
        with pytest.raises(LinkError, match=CLEAR + r".*\(Tried 3 times.\)"):
            device.run(image)
        proxy.target = port
        assert right(network, image, device.run(image).output)


def test_a_client_that_left_a_program_running(server, proxied):
    """Its picture, its commands and the replies to them are still under way; the next client gets the board to itself."""
    program, network = made()
    server.board.looks = 10**9
    images = pictures(2, network)
    first = connect(proxied())
    first.load(program)
    first._board.write_memory(program.plan.picture.address, images[0].tobytes()[:600])
    first._board.start(program.address, program.words)
    first.close()
    server.board.looks = 1
    with connect(proxied()) as device:
        assert server.board.resets == 1
        assert device.load(program) == 0
        assert right(network, images[1], device.run(images[1]).output)
