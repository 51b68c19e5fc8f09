"""The errors that a user can act upon; anything else is a bug and keeps its traceback."""

from __future__ import annotations

from pathlib import Path


class VidsrError(Exception):
    """Say in one sentence which file, what happened and what to try; `details` holds a tool's last lines."""

    exit_code = 1

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class InputError(VidsrError):
    """The input is absent, is no film, or is damaged."""


class OutputError(VidsrError):
    """The output cannot be written, exists already, or came out wrong."""


class RefusedError(OutputError):
    """What was asked for cannot be written: known before the work begins, and wrong usage, as it were."""

    exit_code = 2


class ExistsError(OutputError):
    """The output `path` exists, and may not be replaced."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[type[ExistsError], tuple[str, Path]]:
        return type(self), (str(self), self.path)


class AlreadyDone(ExistsError):
    """The film's output is there, and newer than the film."""


class ToolError(VidsrError):
    """ffmpeg or ffprobe is missing, too old, or failed."""


class ModelError(VidsrError):
    """A model is unknown, damaged, unsafe, or does not fit."""


class DeviceError(VidsrError):
    """The device that was asked for is not here, or has too little memory."""


class WorkerError(VidsrError):
    """The workers that were asked for cannot be had, or do not live."""


class Cancelled(VidsrError):
    """Whoever follows the work has asked for its end; the same call goes on where it stopped."""
