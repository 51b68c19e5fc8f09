"""Make docs/preview.jpg: the page that `vidsr preview` makes of the sample film, as Chromium shows it.

python -m tests.bench.pages
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cv2

from tests.bench.tools import ROOT, SAMPLE, vidsr
from tests.browser import browser, missing

SIZE = (1100, 1180)


def main() -> None:
    """Make the page, open it, and write the picture of how it begins."""
    if why := missing():
        sys.exit(f"no browser: {why}")
    target = ROOT / "docs/preview.jpg"
    with tempfile.TemporaryDirectory() as folder:
        made = vidsr("preview", SAMPLE, "--frames", "90:110", "--fidelity", "0", "-o", folder)
        if made.returncode:
            sys.exit(made.stderr)
        with browser() as window:
            window.open(Path(folder, "index.html"), SIZE)
            time.sleep(2)
            picture = window.picture()
    cv2.imwrite(str(target), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
