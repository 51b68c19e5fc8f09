"""Pages that open from disk: one file each, which holds all that it shows and may not open any connection."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import cv2
import jinja2
from markupsafe import Markup

from vidsr import __version__
from vidsr.files import storage_errors, write_atomic
from vidsr.picture import Rgb

PAGES = Path(__file__).parent / "templates"
QUALITY = 90
"""Of the small JPEG pictures inside a page."""


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)


def filled(template: str, values: dict[str, object]) -> str:
    """The page of `pages/TEMPLATE.html` with its style and script inside, and `values`, all of them escaped."""
    # Only files of this package go in unescaped.
    style = _parts("page.css", f"{template}.css")
    script = _parts(f"{template}.js")
    page = TEMPLATES.get_template(f"{template}.html")
    return page.render(
        **values,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
    )


def _parts(*names: str) -> str:
    paths = [PAGES / name for name in names]
    return "".join(path.read_text(encoding="utf-8") for path in paths if path.exists())


def policy(style: str, script: str) -> str:
    """What the page may do: run its own script and no other, show what it holds, and play a film beside it."""
    texts = [(kind, text) for kind, text in (("style", style), ("script", script)) if text]
    digests = [(kind, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()) for kind, text in texts]
    own = "".join(f" {kind}-src 'sha256-{digest}';" for kind, digest in digests)
    media = "media-src 'self' file: blob:"
    return f"default-src 'none'; img-src data:; {media};{own} base-uri 'none'; form-action 'none'"


def data_uri(kind: str, content: bytes) -> str:
    """Bytes of this media type as text that a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture_uri(picture: Rgb) -> str:
    """A small picture `(h, w, 3)` RGB as a JPEG that a page can hold."""
    _, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data_uri("image/jpeg", coded.tobytes())


def shown(text: str) -> str:
    """A name from outside as Unicode: what is none in it becomes a mark."""
    return text.encode("utf-8", "replace").decode()


def write_page(path: Path, page: str) -> None:
    """Write a page whole, or raise OutputError."""
    with storage_errors(path):
        write_atomic(path, page)
