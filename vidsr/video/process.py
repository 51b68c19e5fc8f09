"""Start and stop ffmpeg: argument lists, watched pipes, and no process that outlives the one that started it."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path

import ffmpeg

from vidsr import system
from vidsr.errors import ToolError, VidsrError

GLOBAL = ("-nostdin", "-hide_banner", "-nostats", "-y")
KEPT_LINES = 20
LINE_CHARACTERS = 500
PIPE_BYTES = 1 << 20
FILE = "the file"
"""Stands for a film's name until a command is complete: ffmpeg-python takes no name that is not Unicode."""
DEMUXERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,gif,apng,asf,flv,ogg,nut,mxf,dv,ivf,rm,wtv,pva,nsv,nuv,vob,yuv4mpegpipe,"
    "h264,hevc,m4v,h263,obu,av1,vc1,cavsvideo,dirac,amv,swf,flic,film_cpk,smk,bink,roq,4xm,mjpeg,mp3,aac,flac,wav"
)
"""ffmpeg's readers of single files. Playlists and patterns of names, which open other files, are not among them."""

ONLY_FILES = {"protocol_whitelist": "file,pipe", "format_whitelist": DEMUXERS}
"""Options of every input: local files only, and no format that points elsewhere."""
SAFE = tuple(word for name, value in ONLY_FILES.items() for word in (f"-{name}", value))
"""The same as words."""
PATIENCE_S = 30.0
"""How long a tool that reads a film may give nothing: enough for a disk that wakes up."""
LONG_PATIENCE_S = 600.0
"""How long one that writes may take nothing: an encoder may look far ahead."""
GUARD_S = 0.2
"""How often it is looked at whether a tool is waited for."""
LONGEST_ANSWER = 64 << 20
"""Bytes that a tool may answer where the whole answer is kept."""
LOGGED_CHARACTERS = 1000
"""Of a command: the expression of irregular time stamps is longer than all else."""

log = logging.getLogger(__name__)


def local(path: Path) -> str:
    """Name a file so that ffmpeg cannot take it for an option, a protocol, a pattern or another folder's file."""
    return f"file:{path.absolute()}"


def compiled(run: ffmpeg.nodes.OutputStream, path: Path, *options: str) -> list[str]:
    """The words of a command that ffmpeg-python was given, with `path` for FILE and some options for all of it."""
    return [local(path) if word == FILE else word for word in run.global_args(*GLOBAL, *options).compile()]


def tool(name: str) -> str:
    """Full path of `ffmpeg` or `ffprobe`; ToolError where it is not on the PATH."""
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"{name} is not on the PATH: install ffmpeg 5.1 or newer, which brings it.")
    return found


@dataclass(eq=False, repr=False)
class Process:
    """A running ffmpeg or ffprobe: leaving the block kills it if it still runs, and waits for its end.

    `feed` opens its stdin for `write`. `on_line` is called with each line of its stderr, in the thread that drains it,
    and with None at the end; what it returns True for is not kept as one of the last lines. ToolError when the tool
    gives or takes nothing for `patience_s`, or is killed.
    """

    command: Sequence[str]
    _: KW_ONLY
    feed: bool = False
    patience_s: float = PATIENCE_S
    on_line: Callable[[str | None], bool] | None = None

    def __post_init__(self) -> None:
        self._busy_s = math.inf
        self._stalled = False
        self._over = threading.Event()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def __enter__(self) -> Process:
        log.debug("%s", shlex.join(self.command)[:LOGGED_CHARACTERS])
        leash, self._leash = os.pipe()
        try:
            self._child = subprocess.Popen(
                [tool(self.command[0]), *self.command[1:]],
                stdin=subprocess.PIPE if self.feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(leash,) if system.passes_descriptors() else (),
                start_new_session=True,  # Ctrl-C is ours to handle: ffmpeg would take it as "finish the file"
            )
            system.tie(leash, self._child.pid)
        except (OSError, ToolError) as error:
            os.close(self._leash)
            if isinstance(error, ToolError):
                raise
            raise ToolError(f"{self.command[0]} could not be started: {error}.") from error
        finally:
            os.close(leash)
        assert isinstance(self._child.stdout, FileIO)
        self._output = self._child.stdout
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                system.enlarge(pipe.fileno(), PIPE_BYTES)
        # A tool whose stderr nobody reads stops when that pipe is full.
        self._threads = [
            threading.Thread(target=work, name=f"vidsr-{name}", daemon=True)
            for name, work in (("stderr", self._read_errors), ("guard", self._guard))
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` (bytes) from stdout; returns how many came, fewer only at its end."""
        done = 0
        while done < len(buffer):
            with self._watched():
                came = self._output.readinto(buffer[done:])
            if not came:
                break
            done += came
        return done

    def write(self, data: memoryview) -> None:
        """Hand `data` (bytes) to stdin; ToolError if the process has ended."""
        assert self._child.stdin is not None
        done = 0
        while done < len(data):
            try:
                with self._watched():
                    done += os.write(self._child.stdin.fileno(), data[done : done + PIPE_BYTES])
            except OSError as error:
                # On Windows, a broken pipe has several names.
                if not isinstance(error, BrokenPipeError) and error.errno != errno.EINVAL:
                    raise
                raise self.failure("stopped before it had all of the picture") from None

    def finish(self, patience_s: float = LONG_PATIENCE_S) -> int:
        """Close stdin and wait for the end; returns the exit status. ToolError where a signal ended it."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            status = self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {patience_s:.0f} s") from None
        self._threads[0].join()
        if status < 0:
            raise self.failure(f"was ended by signal {-status}")
        return status

    def finish_soon(self, patience_s: float) -> int:
        """As `finish`, but a tool that is busy after `patience_s` is told to end its file as it is: status 255."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(patience_s)
            return self.finish()
        self._child.terminate()
        return self.finish(patience_s)

    def kill(self) -> None:
        """End the process now; from any thread: a read that waits in another one comes to its end."""
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """Kill the process if it still runs and close every pipe; a second call does nothing."""
        if self._over.is_set():
            return
        self.kill()
        self._over.set()
        for thread in self._threads:
            thread.join()
        os.close(self._leash)
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def last_lines(self) -> str:
        """What the tool last wrote to stderr."""
        return "\n".join(self._lines)

    def crash(self) -> VidsrError | None:
        """The error to raise where the tool was killed or broke down; None where it runs, or ended by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._child.wait(0.2) < 0:
                return self.failure("broke down")
        return None

    def failure(self, what: str, kind: type[VidsrError] = ToolError) -> VidsrError:
        """The error to raise: the tool's name, `what` it did, and its last lines as details."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self._child.wait(1)  # its last words may still be on their way
            self._threads[0].join()
            if status < 0:
                return ToolError(f"{self.command[0]} was ended by signal {-status}.", self.last_lines)
        return kind(f"{self.command[0]} {what}.", self.last_lines)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Around a call on a pipe: the guard ends the tool, and so the call, where it takes too long."""
        self._busy_s = time.monotonic()
        try:
            yield
        finally:
            self._busy_s = math.inf
            if self._stalled:
                raise self.tired()

    def tired(self) -> ToolError:
        """The error to raise where the tool was waited for in vain."""
        return ToolError(f"{self.command[0]} made no progress in {self.patience_s:.0f} s.", self.last_lines)

    def _guard(self) -> None:
        while not self._over.wait(GUARD_S):
            if time.monotonic() - self._busy_s > self.patience_s:
                self._stalled = True
                self._child.kill()

    def _read_errors(self) -> None:
        assert self._child.stderr is not None
        while data := self._child.stderr.readline(LINE_CHARACTERS):
            line = data.decode("utf-8", "replace").rstrip()
            if self.on_line is None or not self.on_line(line):
                self._lines.append(line)
        if self.on_line is not None:
            self.on_line(None)


def run(
    command: Sequence[str], patience_s: float = PATIENCE_S, on_line: Callable[[str | None], bool] | None = None
) -> tuple[int, bytes, str]:
    """Run a tool, see `Process`, to its end; returns its exit status, its stdout and the last lines of its stderr."""
    output = bytearray()
    with Process(command, patience_s=patience_s, on_line=on_line) as process:
        block = memoryview(bytearray(65536))
        while count := process.read_into(block):
            output += block[:count]
            if len(output) > LONGEST_ANSWER:
                raise process.failure(f"answered more than {LONGEST_ANSWER >> 20} MiB")
        return process.finish(), bytes(output), process.last_lines


@lru_cache(maxsize=1)
def encoders() -> frozenset[str]:
    """Names of the video encoders that this ffmpeg was built with."""
    _, output, _ = run(["ffmpeg", *GLOBAL, "-loglevel", "error", "-encoders"])
    return frozenset(re.findall(r"^ V[.FSXBD]{5} (\S+)", output.decode("utf-8", "replace"), re.MULTILINE)) - {"="}


def require_encoder(codec: str) -> None:
    """ToolError where this ffmpeg was built without the encoder `codec`."""
    if codec not in encoders():
        raise ToolError(f"This ffmpeg has no encoder {codec}: install a build that has it, or choose another --codec.")


def tools() -> dict[str, str]:
    """Versions of `ffmpeg` and `ffprobe` as they name themselves; ToolError where one is not on the PATH."""
    versions = {}
    for name in ("ffmpeg", "ffprobe"):
        _, output, _ = run([name, "-hide_banner", "-version"])
        found = re.match(rb"\S+ version (\S+)", output)
        versions[name] = found[1].decode("ascii", "replace") if found else "unknown"
    return versions
