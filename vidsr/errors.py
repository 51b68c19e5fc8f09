"""The errors that a user can act upon; anything else is a bug and keeps its traceback."""


class VidsrError(Exception):
    """Say in one sentence which file, what happened and what to try; `details` holds a tool's last lines."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class InputError(VidsrError):
    """The input is absent, is no film, or is damaged."""


class OutputError(VidsrError):
    """The output cannot be written, exists already, or came out wrong."""


class ToolError(VidsrError):
    """ffmpeg or ffprobe is missing, too old, or failed."""


class ModelError(VidsrError):
    """A model is unknown, damaged, unsafe, or does not fit."""


class DeviceError(VidsrError):
    """The device that was asked for is not here, or has too little memory."""
