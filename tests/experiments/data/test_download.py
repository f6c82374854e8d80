"""Downloads from a server that truncates, stalls, corrupts, resumes: a whole file or none."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from web import Site, fault, flood, hang_up, say, send, stall, status

from funcnn.experiments.data import download as module
from funcnn.experiments.data.download import download
from funcnn.experiments.errors import InputError

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
MOST = len(CONTENT) + 1000


def check(path):
    return None if path.read_bytes() == CONTENT else "the SHA-256 of it differs"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    monkeypatch.setattr(module, "PAUSE", 0.01)


@pytest.fixture
def site():
    return Site({"/it": CONTENT})


@pytest.fixture
def url(site):
    with site.served() as address:
        yield f"{address}/it"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "folder" / "it"


def fetch(url, target):
    download(url, target, check, MOST)


def refused(url, target, said):
    """The download fails with one line that says so, and there is no file."""
    with pytest.raises(InputError) as caught:
        fetch(url, target)
    line = str(caught.value)
    assert url in line
    assert said in line
    assert line.isprintable()
    assert not target.exists()
    return line


def names(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


# --- it arrives ------------------------------------------------------------------------------


def test_a_file_arrives_whole_and_alone(url, target, site):
    fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["it"]
    assert site.requests == [("/it", None)]


PARTIAL = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        pytest.param([fault(upto=200_000)], [None, "bytes=200000-"], id="truncated"),
        pytest.param(
            [fault(upto=100_000)] * 3, [None, *(f"bytes={n}00000-" for n in (1, 2, 3))], id="thrice"
        ),
        pytest.param([stall(200_000)], [None, "bytes=200000-"], id="stalled"),
        pytest.param([stall(0)], [None, None], id="stalled at once"),
        pytest.param([hang_up], [None, None], id="hung up"),
        pytest.param([status(500)], [None, None], id="500, then OK"),
        pytest.param([status(503), status(429)], [None, None, None], id="503 and 429, then OK"),
        pytest.param([fault(length=False)], [None], id="of unknown length"),
        pytest.param(
            [fault(upto=200_000), fault(ranges=False)],
            [None, "bytes=200000-"],
            id="truncated, then from the start",
        ),
        pytest.param(
            [fault(upto=200_000), fault(start=100_000)],
            [None, "bytes=200000-", None],
            id="truncated, then from somewhere else",
        ),
        pytest.param([say(PARTIAL)], [None, None], id="a part that nobody asked for"),
        pytest.param(
            [say(PARTIAL.replace(b"Length: 3", b"Range: bytes " + b"9" * 5000))],
            [None, None],
            id="a part from nowhere",
        ),
        pytest.param(
            [fault(upto=200_000), say(PARTIAL)],
            [None, "bytes=200000-", None],
            id="truncated, then a part of unknown place",
        ),
        pytest.param(
            [fault(upto=200_000), status(502), stall(100_000)],
            [None, "bytes=200000-", "bytes=200000-", "bytes=300000-"],
            id="one thing after the other",
        ),
    ],
)
def test_a_server_with_faults_is_asked_again_for_what_is_missing(url, target, site, faults, ranges):
    site.faults = list(faults)
    fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["it"]
    assert [asked for _, asked in site.requests] == ranges


def test_a_part_of_an_earlier_process_is_gone_on_with(url, target, site):
    target.parent.mkdir(parents=True)
    target.with_name("it.part").write_bytes(CONTENT[:300_000])
    fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert site.requests == [("/it", "bytes=300000-")]


def test_a_part_that_was_whole_already_is_verified_and_used(url, target, site):
    target.parent.mkdir(parents=True)
    target.with_name("it.part").write_bytes(CONTENT)
    fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["it"]


@pytest.mark.parametrize("part", [b"old" * 1000, b"old" * 1_000_000], ids=["shorter", "longer"])
def test_a_part_of_another_file_is_told_by_the_checksum_and_all_is_brought_anew(
    url, target, site, part
):
    target.parent.mkdir(parents=True)
    target.with_name("it.part").write_bytes(part)
    fetch(url, target)
    assert target.read_bytes() == CONTENT
    assert len(site.requests) == 2
    assert site.requests[1] == ("/it", None)


def test_a_server_that_sends_a_megabyte_each_time_is_asked_as_often_as_it_takes(tmp_path):
    content = CONTENT * 16  # 8 MB
    site = Site({"/it": content})
    site.faults = [fault(upto=1 << 20)] * 7
    with site.served() as address:
        download(f"{address}/it", tmp_path / "it", lambda path: None, len(content))
    assert (tmp_path / "it").read_bytes() == content
    assert len(site.requests) == 8


# --- it does not -----------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [[fault(spoil=True)], [fault(upto=9), fault(spoil=True)]])
def test_a_corrupt_download_leaves_no_file_and_says_what_differs(url, target, site, faults):
    site.faults = list(faults)
    refused(url, target, "the download was not kept: the SHA-256 of it differs")
    assert names(target.parent) == []


def test_a_resumed_download_that_is_corrupt_again_leaves_no_file(url, target, site):
    target.parent.mkdir(parents=True)
    target.with_name("it.part").write_bytes(b"old")
    site.faults = [send, fault(spoil=True)]
    refused(url, target, "the download was not kept")
    assert names(target.parent) == []


@pytest.mark.parametrize(
    ("each", "said"),
    [
        pytest.param(status(500), "the server says 500 Internal Server Error, 5 times", id="500"),
        pytest.param(stall(0), "nothing came for 0.5 seconds, 5 times in a row", id="stalls"),
        pytest.param(hang_up, "closed connection without response, 5 times", id="hangs up"),
        pytest.param(
            say(PARTIAL), "the server sent bytes from -1 on, not from 0, 5 times", id="a part"
        ),
        pytest.param(
            say(b"\x1b[2Jno\x07 \x9bserver\r\n\r\n"), "[2Jno server, 5 times", id="not HTTP"
        ),
        pytest.param(
            say(b"HTTP/1.1 503 Come\tback \x1b]0;x\x07\r\n\r\n"),
            "the server says 503 Come back ]0;x, 5 times",
            id="503 with escape codes",
        ),
    ],
)
def test_after_five_failures_in_a_row_it_is_given_up(url, target, site, each, said):
    site.faults = [each] * 9
    refused(url, target, said)
    assert len(site.requests) == 5
    assert names(target.parent) == []


def test_what_arrived_before_it_was_given_up_is_kept_for_the_next_time(url, target, site):
    site.faults = [fault(upto=100_000), *[hang_up] * 4]
    line = refused(url, target, "100,000 bytes are kept in")
    assert str(target.with_name("it.part")) in line
    site.requests.clear()
    fetch(url, target)
    assert site.requests == [("/it", "bytes=100000-")]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("code", [403, 404, 410, 416])
def test_a_refusal_is_final(url, target, site, code):
    site.faults = [status(code)] * 9
    refused(url, target, f"the server says {code} ")
    assert len(site.requests) == 1


def test_a_servers_words_are_one_line_however_many_it_says(url, target, site):
    site.faults = [say(b"HTTP/1.1 302 Found\r\nLocation: /it\r\n\r\n")] * 99
    refused(url, target, "says 302 The HTTP server returned a redirect error that would lead to an")
    site.faults = [say(b"HTTP/1.1 404 No \x1b[31m such\x0bfile" + b"!" * 999 + b"\r\n\r\n")]
    assert len(refused(url, target, "the server says 404 No [31m such file!!!")) < 300


def test_a_missing_file_is_a_refusal(url, target):
    refused(f"{url}s", target, "the server says 404 Not Found")


def test_more_than_is_expected_is_not_taken(url, target, site):
    site.files["/it"] = CONTENT + bytes(2000)
    refused(url, target, "has 514,000 bytes, but at most 513,000 are expected")
    site.faults = [flood]
    refused(url, target, "goes on after the 513,000 bytes that are expected at most")
    assert names(target.parent) == []


def test_without_a_connection_it_is_one_line_at_once(target, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 1000)
    refused("http://127.0.0.1:9/it", target, "cannot be reached: Connection refused")


def test_an_unknown_name_is_one_line_at_once(target, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 1000)
    refused("http://funcnn.invalid/it", target, "cannot be reached: the name is not known here")


@pytest.mark.parametrize("address", ["http://[", "nonsense", "http://"])
def test_an_odd_address_is_one_line(address, target):
    refused(address, target, address)


def test_a_full_disk_is_told_before_anything_is_written(url, target, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1))
    refused(url, target, f"needs 512,000 bytes in {target.parent}, where 1 are free")
    assert names(target.parent) == []


def test_a_folder_that_cannot_be_made_is_one_line(url, tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = refused(url, tmp_path / "file" / "folder" / "it", "cannot be kept as")
    assert "--to" in line


def test_a_disk_that_fills_up_is_one_line(url, target, monkeypatch):
    def full(part, mode):
        file = open(part, mode)  # noqa: SIM115
        monkeypatch.setattr(file, "write", no_space, raising=False)
        return file

    def no_space(content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "open", full, raising=False)
    refused(url, target, "No space left on device")


# --- several at once -------------------------------------------------------------------------


def test_two_at_once_bring_it_once(url, target, site):
    site.faults = [stall(100_000)]
    threads = [threading.Thread(target=fetch, args=(url, target)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in site.requests] == [None, "bytes=100000-"]
    assert names(target.parent) == ["it"]


FETCH = """
import hashlib, signal, sys
from pathlib import Path
from funcnn.experiments.data import download
signal.signal(signal.SIGINT, signal.default_int_handler)
download.PAUSE = 0.01
check = lambda path: None if hashlib.sha256(path.read_bytes()).hexdigest() == sys.argv[3] else "bad"
download.download(sys.argv[1], Path(sys.argv[2]), check, 10**6)
"""


def start(url, target):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return subprocess.Popen([sys.executable, "-c", FETCH, url, str(target), digest])


def test_two_processes_at_once_do_not_spoil_each_others_file(url, target, site):
    site.faults = [fault(upto=50_000)] * 3
    processes = [start(url, target) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert target.read_bytes() == CONTENT
    assert len(site.requests) == 4
    assert names(target.parent) == ["it"]


def test_a_process_that_was_killed_leaves_a_part_that_the_next_goes_on_with(url, target, site):
    site.faults = [lambda handler, content: (send(handler, content, upto=200_000), time.sleep(5))]
    process = start(url, target)
    part = target.with_name("it.part")
    while not (part.exists() and part.stat().st_size >= 131_072):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not target.exists()
    held = part.stat().st_size
    fetch(url, target)
    assert site.requests[-1] == ("/it", f"bytes={held}-")
    assert target.read_bytes() == CONTENT
