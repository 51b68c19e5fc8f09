"""Files that appear whole: names that fit, temporary names, and the way from one to the other."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from vidsr.errors import ExistsError, InputError, OutputError

NAME_BYTES = 255
"""The longest name that Linux's and macOS's file systems take."""

STORAGE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.ENOENT),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ESTALE),
)
"""What a disk may answer that a user can do something about."""


def fitting(name: str, ending: str) -> str:
    """`name` and `ending`; where that is too long for a file's name, the name is cut and a hash of it stands in."""
    if len(os.fsencode(name + ending)) <= NAME_BYTES:
        return name + ending
    whole = os.fsencode(name)
    mark = "~" + hashlib.sha256(whole).hexdigest()[:8] + ending
    return whole[: NAME_BYTES - len(os.fsencode(mark))].decode("utf-8", "ignore") + mark


_own = ""


def use_unique_suffix() -> None:
    """Let this process's temporary names differ from all others': a worker that was given up may still be writing."""
    global _own
    _own = "." + secrets.token_hex(4)


def own_name(stem: str, suffix: str) -> str:
    """A name that no other worker uses; the plain one in a process that was not set apart."""
    return stem + _own + suffix


def partial_of(path: Path) -> Path:
    """The temporary name, in the same folder, of what will be `path`."""
    return path.with_name(fitting(path.name, own_name("", ".partial")))


def fsync_rename(partial: Path, path: Path) -> None:
    """Bring a finished file, or a folder whose files are on the disk, there too, then give it its name."""
    sync(partial)
    partial.replace(path)
    with suppress(OSError):  # not every file system can bring a folder to the disk
        sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    # Windows brings only what could be written to the disk.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write under a temporary name, bring it to the disk, rename; where that fails, nothing is left."""
    partial = partial_of(path)
    # Names of files need not be Unicode.
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    try:
        partial.write_bytes(data)
        fsync_rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def beside(whole: Path, output: Path) -> Path:
    """`whole`, or where it lies on another disk than `output`, a copy under a temporary name beside it."""
    if whole.stat().st_dev == output.parent.stat().st_dev:
        return whole
    partial = output.with_name(fitting("." + output.name, ".partial"))
    try:
        shutil.copyfile(whole, partial)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a path that no file can have is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_readable(path: Path) -> None:
    """InputError where `path` is no file that can be read: absent, a folder, a device, a pipe, forbidden, empty."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not path.is_file():
        raise InputError(f"{path} is not a file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read: change its permissions.")
    if facts.st_size == 0:
        raise InputError(f"{path} is empty: copy it again.")


def check_writable(path: Path, overwrite: bool) -> None:
    """OutputError where no file can be written at `path`, or one is there that may not be replaced."""
    try:
        there = path.exists()
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another name") from error
    if there and not path.is_file():
        raise OutputError(f"the output {path} exists and is not a file; choose another name")
    if there and not overwrite:
        raise ExistsError(f"the output {path} exists; give --overwrite to replace it", path)
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {path.parent} cannot be written to; choose another")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the disk answers inside the block, and a user can act upon, into an OutputError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        raise OutputError(f"{path} could not be written: {error.strerror}") from error


def shown(text: str) -> str:
    """Text from outside (names, what ffmpeg quotes of a file) as one line that cannot command the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


T = TypeVar("T")
Json = dict[str, object]
LONGEST_MIB = 2048
"""Nineteen hours of film with five faces in every frame."""


@contextmanager
def checked(path: Path, advice: str = "") -> Iterator[None]:
    """Inside the block, a file is read: what is wrong with it becomes an InputError that ends with the advice."""
    check_readable(path)
    if path.stat().st_size > LONGEST_MIB << 20:
        raise InputError(f"{path} is larger than {LONGEST_MIB} MiB: not a file of this program")
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: {error}{advice and '; ' + advice}") from error


def read_json(path: Path, kind: type[T], advice: str = "") -> T:
    """A file that holds one JSON object as a dataclass, whose types it must have; raises InputError."""
    with checked(path, advice):
        # Not msgspec's own parser: names of files need not be Unicode.
        values = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
        return msgspec.convert(values, kind)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
