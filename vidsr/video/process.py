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
from functools import lru_cache
from io import FileIO
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType

from vidsr import system
from vidsr.errors import ToolError, VidsrError

GLOBAL = ("-nostdin", "-hide_banner", "-nostats", "-y")
KEPT_LINES = 20
LINE_CHARACTERS = 500
PIPE_BYTES = 1 << 20
FILE = "the file"
"""Stands for the film's name until a command is complete."""
PATIENCE_S = 30.0
"""How long a tool that reads a film may give nothing: enough for a disk that wakes up."""
LONG_PATIENCE_S = 600.0
"""How long one that writes may take nothing: an encoder may look far ahead."""
GUARD_S = 0.1
"""How often a tool is looked at where pipes cannot be waited for."""
LONGEST_ANSWER = 64 << 20
"""Bytes that a tool may answer where the whole answer is kept."""
LOGGED_CHARACTERS = 1000
"""Of a command: the expression of irregular time stamps is longer than all else."""

log = logging.getLogger(__name__)


def local(path: Path) -> str:
    """Name a file so that ffmpeg cannot take it for an option, a protocol, a pattern or another folder's file."""
    return f"file:{path.absolute()}"


def named(words: Sequence[object], path: Path) -> list[str]:
    """The words of a command with `path` in the place of FILE, as ffmpeg-python takes no name that is not Unicode."""
    return [local(path) if word == FILE else str(word) for word in words]


def tool(name: str) -> str:
    """Full path of `ffmpeg` or `ffprobe`; ToolError where it is not on the PATH."""
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"{name} is not on the PATH: install ffmpeg 5.1 or newer, which brings it.")
    return found


class Pipe:
    """A pipe that ffmpeg writes text to beside its stdout; `name` is what goes into its arguments."""

    def __init__(self) -> None:
        self._rest = b""
        self.read_end, self.write_end = os.pipe()
        self.name = f"pipe:{self.write_end}"

    @property
    def given(self) -> tuple[int, ...]:
        """What ffmpeg must be given open."""
        return (self.write_end,)

    def take_line(self) -> str | None:
        """The next whole line received, without its end; None when more must be read first."""
        line, end, rest = self._rest.partition(b"\n")
        if not end:
            return None
        self._rest = rest
        return line.decode("ascii", "replace")

    def fill(self, patience_s: float) -> bool | None:
        """Read what has come; False at the end, None where nothing came in time."""
        if not system.wait_for(self.read_end, False, patience_s):
            return None
        data = os.read(self.read_end, 65536)
        self._rest += data
        return bool(data)

    def release(self) -> None:
        """ffmpeg has ended: nobody need wait for it."""

    def close(self) -> None:
        """Close the end that reads."""
        os.close(self.read_end)


class NamedPipe(Pipe):
    """A pipe that ffmpeg opens by its name, where no open one can be given to it. It does so twice: first only to look
    whether its filters can be made."""

    def __init__(self) -> None:
        self._rest = b""
        self.name, self._door = system.door()
        self._ended = False
        self._heard: Queue[bytes] = Queue()
        self._ear = threading.Thread(target=self._listen, name="vidsr-pipe", daemon=True)
        self._ear.start()

    @property
    def given(self) -> tuple[int, ...]:
        return ()

    def _listen(self) -> None:
        while not self._ended:
            line = self._door.accept()
            with contextlib.suppress(EOFError, OSError):
                while data := line.recv_bytes():
                    self._heard.put(data)
            line.close()
        self._heard.put(b"")

    def fill(self, patience_s: float) -> bool | None:
        try:
            data = self._heard.get(timeout=patience_s)
        except Empty:
            return None
        self._rest += data
        return bool(data)

    def release(self) -> None:
        self._ended = True
        while self._ear.is_alive():
            system.knock(self.name)
            self._ear.join(0.01)

    def close(self) -> None:
        self._door.close()


def side_pipe() -> Pipe:
    """A pipe beside stdout, of the kind that this system can give to ffmpeg."""
    return Pipe() if system.passes_descriptors() else NamedPipe()


class Process:
    """A running ffmpeg or ffprobe: leaving the block kills it if it still runs, and waits for its end.

    `feed` opens its stdin for `write`, `pipes` are what it writes beside stdout, `on_line` is called with each line of
    its stderr, in the thread that drains it. ToolError when it gives or takes nothing for `patience_s`, or is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        feed: bool = False,
        pipes: Sequence[Pipe] = (),
        patience_s: float = PATIENCE_S,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._command = command
        self._feed = feed
        self._pipes = pipes
        self._patience_s = patience_s
        self._on_line = on_line
        self._busy_s = math.inf
        self._stalled = False
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def __enter__(self) -> Process:
        leash, self._leash = os.pipe()
        try:
            self._child = self._spawn(leash)
        except ToolError:
            for pipe in self._pipes:
                pipe.release()
            self._close_pipes()
            raise
        finally:
            _close(leash, *self._given)
        assert isinstance(self._child.stdout, FileIO)
        self._output = self._child.stdout
        system.enlarge(self._output.fileno(), PIPE_BYTES)
        if self._child.stdin is not None:
            system.enlarge(self._child.stdin.fileno(), PIPE_BYTES)
            system.unblocked(self._child.stdin.fileno())
        # A tool whose stderr nobody reads stops when that pipe is full.
        self._drain = threading.Thread(target=self._read_errors, name="vidsr-stderr", daemon=True)
        self._drain.start()
        if not system.polls():
            self._watcher = threading.Thread(target=self._guard, name="vidsr-guard", daemon=True)
            self._watcher.start()
        return self

    @property
    def _given(self) -> list[int]:
        return [end for pipe in self._pipes for end in pipe.given]

    def _close_pipes(self) -> None:
        _close(self._leash)
        for pipe in self._pipes:
            pipe.close()

    def _spawn(self, leash: int) -> subprocess.Popen[bytes]:
        log.debug("%s", shlex.join(self._command)[:LOGGED_CHARACTERS])
        try:
            child = subprocess.Popen(
                [tool(self._command[0]), *self._command[1:]],
                stdin=subprocess.PIPE if self._feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(leash, *self._given) if system.passes_descriptors() else (),
                start_new_session=True,  # Ctrl-C is ours to handle: ffmpeg would take it as "finish the file"
            )
        except OSError as error:
            raise ToolError(f"{self._command[0]} could not be started: {error}.") from error
        system.tie(leash, child.pid)
        return child

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` (bytes) from stdout; returns how many came, fewer only at its end."""
        done = 0
        while done < len(buffer):
            with self._patient(self._output.fileno()):
                came = self._output.readinto(buffer[done:])
            if not came:
                break
            done += came
        return done

    def read_line(self, pipe: Pipe) -> str | None:
        """The next line of one of `pipes`; None at its end."""
        while (line := pipe.take_line()) is None:
            came = pipe.fill(self._patience_s)
            if came is None:
                raise self._tired()
            if not came:
                return None
        return line

    def write(self, data: memoryview) -> None:
        """Hand `data` (bytes) to stdin; ToolError if the process has ended."""
        assert self._child.stdin is not None
        target = self._child.stdin.fileno()
        done = 0
        while done < len(data):
            try:
                with self._patient(target, writing=True):
                    done += os.write(target, data[done : done + PIPE_BYTES])
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._refusal(error) from None

    def pass_on(self, other: Process, count: int) -> int:
        """Move `count` bytes from stdout to the stdin of `other`; returns how many, fewer only at the end.

        The kernel moves them from pipe to pipe; where it cannot, they are read and written.
        """
        assert other._child.stdin is not None
        target, done = other._child.stdin.fileno(), 0
        while done < count:
            source = self._output.fileno()
            try:
                with self._patient(source), other._patient(target, writing=True):
                    moved = system.moved(source, target, min(count - done, PIPE_BYTES))
            except BlockingIOError:
                continue
            except OSError as error:
                raise other._refusal(error) from None
            if moved == 0:
                break
            done += moved
        return done

    def finish(self, patience_s: float = LONG_PATIENCE_S) -> int:
        """Close stdin and wait for the end; returns the exit status. ToolError where a signal ended it."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            status = self._child.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {patience_s:.0f} s") from None
        self._drain.join()
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
        if self._leash < 0:
            return
        self.kill()
        self._drain.join()
        if not system.polls():
            self._watcher.join()
        self._close_pipes()
        self._leash = -1
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
            self._drain.join()
            if status < 0:
                return ToolError(f"{self._command[0]} was ended by signal {-status}.", self.last_lines)
        return kind(f"{self._command[0]} {what}.", self.last_lines)

    @contextlib.contextmanager
    def _patient(self, descriptor: int, writing: bool = False) -> Iterator[None]:
        """Around a call on a pipe that must not wait for longer than `patience_s`: ToolError where it would."""
        if not system.wait_for(descriptor, writing, self._patience_s):
            raise self._tired()
        self._busy_s = time.monotonic()
        try:
            yield
        finally:
            self._busy_s = math.inf
        if self._stalled:
            raise self._tired()

    def _tired(self) -> VidsrError:
        return self.failure(f"made no progress in {self._patience_s:.0f} s")

    def _refusal(self, error: OSError) -> VidsrError:
        """What it means that a pipe takes nothing: on Windows, a broken one has several names."""
        if not isinstance(error, BrokenPipeError) and error.errno != errno.EINVAL:
            raise error
        return self._tired() if self._stalled else self.failure("stopped before it had all of the picture")

    def _guard(self) -> None:
        """Where no pipe can be waited for: kill a tool that takes too long, and let nobody wait for a dead one."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(GUARD_S)
                break
            if time.monotonic() - self._busy_s > self._patience_s:
                self._stalled = True
                self._child.kill()
        for pipe in self._pipes:
            pipe.release()

    def _read_errors(self) -> None:
        assert self._child.stderr is not None
        while data := self._child.stderr.readline(LINE_CHARACTERS):
            line = data.decode("utf-8", "replace").rstrip()
            self._lines.append(line)
            if self._on_line is not None:
                self._on_line(line)


def run(command: Sequence[str]) -> tuple[int, bytes, str]:
    """Run a tool to its end; returns its exit status, its stdout and the last lines of its stderr."""
    output = bytearray()
    with Process(command) as process:
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


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
