"""Files and names that point elsewhere: whether any of them makes the program open a URL, another file, or a device.

    python -m tests.bench.escape

Playlists, manifests and names that lead to a URL, a second film, a pipe or a device go through `enhance` in one
command. A socket on loopback waits for those who call, and strace, where it is installed, lists every file that the
program and ffmpeg open. To show that the trap works, ffprobe is first let into it without our options.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.tools import SAMPLE, Trial, command, ffmpeg

NAMES = ("http://{}/film.mp4", "tcp://{}", "rtmp://{}/live", "ftp://{}/film.mp4", "hls+http://{}/list.m3u8")
INSIDE = ("concat:{0}|{0}", "subfile,,start,0,end,0,,:{0}", "cache:{0}", "async:{0}", "crypto:{0}", "pipe:0")
DEVICES = ("/dev/zero", "/dev/stdin", "/dev/null")


class Ear:
    """Listens on loopback and counts who calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            caller, _ = self._socket.accept()
            self.calls += 1
            caller.close()


def playlists(address: str, secret: str) -> dict[str, str]:
    """Files, by name, whose content points to `address` or to the film `secret`."""
    found = {}
    for kind, target in (("url", f"http://{address}/a.ts"), ("file", secret), ("device", "/dev/zero")):
        hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
        found[f"{kind}.m3u8"] = found[f"{kind} in disguise.mp4"] = hls
        found[f"{kind} key.m3u8"] = hls.replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF')
        found[f"{kind}.ffconcat"] = found[f"{kind} concat.mkv"] = f"ffconcat version 1.0\nfile '{target}'\n"
        found[f"{kind}.mpd"] = (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="x" '
            f'mediaPresentationDuration="PT5S"><Period><BaseURL>{target}</BaseURL><AdaptationSet mimeType="video/mp4">'
            '<Representation id="1" bandwidth="1"/></AdaptationSet></Period></MPD>'
        )
        found[f"{kind}.asx"] = f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'
        found[f"{kind}.smil"] = f'<smil><body><video src="{target}"/></body></smil>'
    host, port = address.split(":")
    found["call.sdp"] = f"v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=video {port} RTP/AVP 96\n"
    return found


def hostile(folder: Path, address: str, secret: Path) -> list[str]:
    """The words to give to `enhance`: names of files made here, and names that are traps themselves."""
    words = [name.format(address) for name in NAMES] + [name.format(secret) for name in INSIDE] + list(DEVICES)
    for name, content in playlists(address, str(secret)).items():
        (folder / name).write_text(content)
        words.append(str(folder / name))
    for name in ("picture%03d.png", "picture001.png"):
        ffmpeg(
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=64x64",
            "-frames:v",
            "1",
            "-update",
            "1",
            "-c:v",
            "png",
            "-f",
            "image2",
            folder / "x.png",
        )
        shutil.move(folder / "x.png", folder / name)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "device.mp4").symlink_to("/dev/zero")
    return words + [str(folder / name) for name in ("picture%03d.png", "pipe.mp4", "device.mp4")]


@contextmanager
def traced(log: Path) -> Iterator[list[str]]:
    """The words that make strace write every opened file and every connection to `log`; none without strace."""
    there = shutil.which("strace")
    yield [there, "-f", "-qq", "-e", "trace=open,openat,connect", "-o", str(log)] if there else []


def opened(log: Path) -> list[str]:
    """What was opened with success, and every connection that was tried."""
    lines = log.read_text(errors="replace").splitlines()
    found = [name[1] for line in lines if (name := re.search(r'open(?:at)?\(.*?"((?:[^"\\]|\\.)*)".*= \d+$', line))]
    return found + [line for line in lines if "connect(" in line and "AF_INET" in line]


def main() -> None:
    """Set the traps, walk through them, count."""
    trial, ear = Trial(), Ear()
    with tempfile.TemporaryDirectory() as name:
        folder, out, log = Path(name), Path(name, "out"), Path(name, "strace.log")
        out.mkdir()
        secret = folder / "secret film.mp4"
        ffmpeg("-i", SAMPLE, "-t", "0.2", "-c", "copy", secret)
        words = hostile(folder, ear.address, secret)
        allow = ["-protocol_whitelist", "file,http,tcp", "-allowed_extensions", "ALL"]
        subprocess.run(["ffprobe", "-v", "quiet", *allow, folder / "url.m3u8"], check=False, timeout=30)
        trial.line("the trap catches ffprobe without our options", [] if ear.calls else ["nobody called"])
        ear.calls = 0
        with traced(log) as tracing:
            command_line = [*tracing, *command("enhance", "-q", "--model", "plain", "-o", out, "--", *words)]
            done = subprocess.run(
                command_line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
            )
        errors = done.stderr.count("error: ")
        wrong = (
            [] if done.returncode == 3 and errors == len(words) else [f"exit code {done.returncode}, {errors} errors"]
        )
        trial.line(
            f"{len(words)} names and files",
            wrong + (["traceback"] if "Traceback" in done.stderr else []),
            f"{errors} refused",
        )
        trial.line("calls to the socket", [f"{ear.calls} came"] if ear.calls else [], f"{ear.calls}")
        trial.line("outputs", [f"{path.name}" for path in out.iterdir()])
        if tracing:
            files = opened(log)
            bad = [
                f
                for f in files
                if f == str(secret) or f.startswith(("/dev/zero", "/dev/stdin")) or "AF_INET" in f or "picture001" in f
            ]
            trial.line("files, devices and connections by strace", bad, f"{len(files)} files opened, none of those")
        else:
            print("left out  what strace would see: it is not installed")
    trial.end()


if __name__ == "__main__":
    main()
