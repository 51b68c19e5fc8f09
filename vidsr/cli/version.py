"""Which program this is: its version and commit, and those of what it stands on. Loads nothing heavy."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from vidsr import __version__
from vidsr.errors import VidsrError

ROOT = Path(__file__).parents[2]
HASH = re.compile(r"[0-9a-f]{40}")


def commit(root: Path = ROOT) -> str | None:
    """The commit of a checkout, or the one that pip installed from; None where it is not known."""
    with suppress(OSError):
        found = _of_checkout(root / ".git")
        if found:
            return found
    with suppress(PackageNotFoundError, ValueError, AttributeError):
        told = json.loads(distribution("vidsr").read_text("direct_url.json") or "{}")
        return str(told["vcs_info"]["commit_id"]) if "vcs_info" in told else None
    return None


def _of_checkout(git: Path) -> str | None:
    if git.is_file():  # a work tree beside the checkout
        git = (git.parent / git.read_text().removeprefix("gitdir:").strip()).resolve()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head if HASH.fullmatch(head) else None
    name, homes = head.removeprefix("ref: "), [git]
    if (git / "commondir").exists():
        homes.append((git / (git / "commondir").read_text().strip()).resolve())
    for home in homes:
        if (home / name).is_file():
            return (home / name).read_text().strip()
        packed = home / "packed-refs"
        if packed.is_file():
            for line in packed.read_text().splitlines():
                if line.endswith(f" {name}"):
                    return line[:40]
    return None


def lines() -> Iterator[str]:
    """The program, Python, PyTorch and ffmpeg, a line each."""
    made = commit()
    yield f"vidsr {__version__}" + (f" ({made[:12]})" if made else "")
    yield f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    try:
        yield f"torch {version('torch')}"
    except PackageNotFoundError:
        yield "torch is not installed"
    from vidsr.video.process import tools

    try:
        yield f"ffmpeg {tools()['ffmpeg']}"
    except VidsrError as error:
        yield str(error)
