"""The pages in a real browser: what is seen is what is said, of one frame, without a network and without complaint."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import browser, scene
from tests.browser import SIZES, Browser
from tests.test_report import report
from vidsr.config import Enhance, Preview, Render
from vidsr.frame import Frame
from vidsr.jobs.events import Meter
from vidsr.networks.model_file import load
from vidsr.previews import page as preview_page
from vidsr.previews import preview as module
from vidsr.previews.preview import Variant, preview
from vidsr.report.report_page import save_page

pytestmark = pytest.mark.skipif(browser.missing() is not None, reason=f"no browser: {browser.missing()}")

FRAMES, BITS, BLOCK = 40, 6, 14
NAME = 'a "film" <img src=x onerror=alert(1)>.mp4'
Picture = NDArray[np.uint8]
BOTH = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def blocks(right: bool) -> list[tuple[int, int]]:
    """Middles of the blocks that spell a frame's number, at the left or the right edge of the picture."""
    left = scene.WIDTH - BLOCK * (BITS + 1) if right else BLOCK
    return [(left + BLOCK * bit + BLOCK // 2, scene.HEIGHT - 2 * BLOCK) for bit in range(BITS)]


def numbered(index: int) -> Picture:
    """A face in the middle, and the frame's number in white and black blocks on both sides."""
    picture = scene.shown([(scene.Pose(230 + index / 2), scene.head())]).copy()
    for right in (False, True):
        for bit, (x, y) in enumerate(blocks(right)):
            white = index >> bit & 1
            cv2.rectangle(picture, (x - BLOCK // 2, y - BLOCK), (x + BLOCK // 2, y + BLOCK), (255 * white,) * 3, -1)
    return picture


def film(path: Path) -> None:
    """Frames that say their number, 25 a second, with B-frames between them."""
    raw = b"".join(numbered(index).tobytes() for index in range(FRAMES))
    size = f"{scene.WIDTH}x{scene.HEIGHT}"
    words = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "25", "-i", "-"]
    coded = ["-c:v", "libx264", "-crf", "12", "-bf", "3", "-pix_fmt", "yuv420p", f"file:{path}"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *words, *coded], input=raw, check=True)


def reddened(frame: Frame, _: object) -> Frame:
    """Stands for the plain enlargement, so that before and after cannot be mistaken for each other."""
    chroma = np.stack([frame.chroma[0], np.full_like(frame.chroma[1], 190)])
    return Frame(frame.index, frame.pts, frame.luma.copy(), chroma)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preview of frames 8 to 38 in two ways, moved away from the files beside it."""
    folder = tmp_path_factory.mktemp("page")
    source = folder / NAME
    film(source)
    settings = Enhance(render=Render(scale="1", model="plain"))
    ways = [Variant("one way", load("plain")), Variant("another way", load("plain"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "enlarged", reddened)
        preview(source, folder / "look", Preview((8, 38)), settings, ways, Meter())
    alone = folder / "alone.html"
    (folder / "look/index.html").rename(alone)
    return alone


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser.browser() as opened:
        yield opened


def shown(window: Browser, page: Path, size: tuple[int, int] = SIZES["desktop"], dark: bool = False) -> None:
    """Open the page, and show the whole of its first frame."""
    opened(window, page, size, dark)
    window.run("zoom(null); divide(0.5); go(0)")
    wait(window, lambda: number(window) == 8)


def opened(window: Browser, page: Path, size: tuple[int, int] = SIZES["desktop"], dark: bool = False) -> None:
    """Open the page as somebody does who has been sent it."""
    window.open(page, size, dark)
    wait(window, lambda: number(window) >= 8)


def wait(window: Browser, held: Any, patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not held():
        assert time.monotonic() < deadline, f"it did not come: {window.said()}"
        time.sleep(0.02)
    window.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def number(window: Browser) -> int:
    """The frame that the page says it shows."""
    return int(window.run("return document.getElementById('views').dataset.frame || -1"))


def keys(window: Browser, *pressed: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(window.driver, duration=0).send_keys(*pressed).perform()


def step(window: Browser, key: str, expected: int) -> None:
    keys(window, key)
    wait(window, lambda: number(window) == expected)


def spot(window: Browser, x: float, y: float) -> tuple[int, int]:
    """Where a place of the picture, in pixels of the film, is in the window."""
    box = window.run(
        "const b = document.querySelector('canvas').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
    )
    scale = min(box[2] / scene.WIDTH, box[3] / scene.HEIGHT)
    left, top = box[0] + (box[2] - scene.WIDTH * scale) / 2, box[1] + (box[3] - scene.HEIGHT * scale) / 2
    return round(left + x * scale), round(top + y * scale)


def read(window: Browser, picture: Picture, right: bool) -> int:
    """The number that the blocks in a picture of the window spell."""
    places = [spot(window, x, y) for x, y in blocks(right)]
    return sum(int(picture[y, x].mean() > 128) << bit for bit, (x, y) in enumerate(places))


def is_red(window: Browser, picture: Picture, share: float) -> bool:
    """Whether the picture at this share of its width is the reddened one."""
    x, y = spot(window, share * scene.WIDTH, 20)
    patch = picture[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)
    plain = numbered(0)[17:24, int(share * scene.WIDTH) - 3 : int(share * scene.WIDTH) + 4].reshape(-1, 3).mean(axis=0)
    return bool((patch[0] - patch[1]) - (plain[0] - plain[1]) > 40)


def drag(window: Browser, share: float) -> None:
    """Drag the divider to this share of the stage's width."""
    from selenium.webdriver.common.action_chains import ActionChains

    divider = window.driver.find_element("id", "divider")
    stage, at = window.driver.find_element("css selector", ".picture").rect, divider.rect
    by = stage["x"] + share * stage["width"] - (at["x"] + at["width"] / 2)
    chain = ActionChains(window.driver, duration=20).click_and_hold(divider).move_by_offset(round(by / 2), 0)
    chain.move_by_offset(round(by) - round(by / 2), 0).release().perform()


def at_divider(window: Browser) -> int:
    return int(window.driver.find_element("id", "divider").get_attribute("aria-valuenow"))


@BOTH
def test_the_divider_shows_before_on_its_left_and_after_on_its_right(
    window: Browser, page: Path, size: tuple[int, int]
) -> None:
    shown(window, page, size)
    for to, red, clear in ((0.5, (0.3, 0.45), (0.55, 0.7)), (0.3, (0.2,), (0.4, 0.6)), (0.8, (0.3, 0.7), (0.9,))):
        drag(window, to)
        assert abs(at_divider(window) - 100 * to) <= 1
        picture = window.picture()
        assert [is_red(window, picture, share) for share in (*red, *clear)] == [True] * len(red) + [False] * len(clear)
        assert picture.shape == (size[1], size[0], 3)


FACE = """
const { face, frame } = data.opening, { from, boxes } = data.faces[face];
const [x0, y0, x1, y1] = boxes[frame - from], { scale, corner } = place(views[0]);
return [corner[0] + x0 * scale, corner[1] + y0 * scale, corner[0] + x1 * scale, corner[1] + y1 * scale,
  views[0].width, views[0].height, frame + data.first, state.divider];
"""


REDNESS = """
const canvas = document.querySelector("canvas"), dots = canvas.width / views[0].width;
const [red, green] = canvas.getContext("2d").getImageData(arguments[0] * dots, arguments[1] * dots, 1, 1).data;
return red - green;
"""


@BOTH
def test_the_page_opens_at_the_largest_restored_face_with_the_divider_across_it(
    window: Browser, page: Path, size: tuple[int, int]
) -> None:
    opened(window, page, size)
    left, top, right, bottom, width, height, frame, divider = window.run(FACE)
    wait(window, lambda: number(window) == frame)
    assert left >= 0 and top >= 0 and right <= width and bottom <= height
    assert bottom - top > 0.3 * height or right - left > 0.3 * width
    assert abs(divider * width - (left + right) / 2) < 2
    redness = [window.run(REDNESS, left + share * (right - left), (top + bottom) / 2) for share in (0.3, 0.7)]
    assert redness[0] > redness[1] + 40, "before is on the left, after on the right"


def test_the_divider_obeys_the_keyboard(window: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    shown(window, page)
    divider = window.driver.find_element("id", "divider")
    for key, expected in ((Keys.ARROW_RIGHT, 51), (Keys.PAGE_UP, 61), (Keys.ARROW_LEFT, 60), (Keys.HOME, 0)):
        divider.send_keys(key)
        assert at_divider(window) == expected
    assert not any(is_red(window, window.picture(), share) for share in (0.1, 0.5, 0.9))
    divider.send_keys(Keys.END)
    assert all(is_red(window, window.picture(), share) for share in (0.1, 0.5, 0.9))
    assert number(window) == 8, "the divider's keys must not step"


@BOTH
def test_keys_step_through_the_frames_and_both_sides_show_the_frame_that_is_said(
    window: Browser, page: Path, size: tuple[int, int]
) -> None:
    from selenium.webdriver.common.keys import Keys

    shown(window, page, size)
    walk = [(".", 9), (".", 10), (Keys.ARROW_RIGHT, 11), (",", 10), (Keys.ARROW_LEFT, 9)]
    for key, expected in [*walk, (Keys.END, 37), (".", 37), (",", 36), (Keys.HOME, 8), (",", 8)]:
        step(window, key, expected)
        picture = window.picture()
        assert (read(window, picture, False), read(window, picture, True)) == (expected, expected)
        assert window.driver.find_element("id", "frame").text.startswith(f"Frame {expected},")


def test_buttons_and_the_bar_step_too(window: Browser, page: Path) -> None:
    shown(window, page)
    for name, expected in (("on", 9), ("on", 10), ("back", 9)):
        window.driver.find_element("id", name).click()
        wait(window, lambda expected=expected: number(window) == expected)
    window.run("const s = document.getElementById('seek'); s.value = 20; s.dispatchEvent(new Event('input'))")
    wait(window, lambda: number(window) == 28)
    assert read(window, window.picture(), True) == 28


CODES = """
const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect(), brush = canvas.getContext("2d");
const scale = Math.min(canvas.width / arguments[0], canvas.height / arguments[1]);
const left = (canvas.width - arguments[0] * scale) / 2, top = (canvas.height - arguments[1] * scale) / 2;
const read = (places) => places.reduce((sum, [x, y], bit) =>
  sum + (brush.getImageData(left + x * scale, top + y * scale, 1, 1).data[1] > 128 ? 1 << bit : 0), 0);
return [read(arguments[2]), read(arguments[3]), Number(document.getElementById("views").dataset.frame)];
"""


def test_while_it_plays_before_and_after_are_of_one_frame(window: Browser, page: Path) -> None:
    shown(window, page)
    keys(window, " ")
    seen = []
    deadline = time.monotonic() + 8
    while len({now[2] for now in seen}) < 12 and time.monotonic() < deadline:
        # Moved while it plays, the divider draws again between two frames of the player.
        window.run("divide(0.4 + 0.2 * Math.random())")
        seen.append(window.run(CODES, scene.WIDTH, scene.HEIGHT, blocks(False), blocks(True)))
    assert len({now[2] for now in seen}) >= 12, "it does not play"
    assert all(left == right == said for left, right, said in seen), seen
    assert window.driver.find_element("id", "play").text == "Pause"
    keys(window, " ")
    wait(window, lambda: window.driver.find_element("id", "play").text == "Play")


def test_side_by_side_shows_every_setting_of_one_frame(window: Browser, page: Path) -> None:
    shown(window, page)
    window.driver.find_element("css selector", "label:has(input[value=side])").click()
    assert len(window.driver.find_elements("css selector", "#views canvas")) == 3
    assert [view.text for view in window.driver.find_elements("css selector", "figcaption")] == [
        "input",
        "one way",
        "another way",
    ]
    step(window, ".", 9)
    picture = window.picture()
    assert is_red(window, picture, 0.3) and is_red(window, picture, 0.7)


def test_pixels_stay_crisp_when_they_are_enlarged(window: Browser, page: Path) -> None:
    shown(window, page)
    for _ in range(2):
        keys(window, "+")
    assert window.driver.find_element("id", "zoom").text == "8×"
    row = np.array(
        window.run(
            "const c = document.querySelector('canvas');"
            "return Array.from(c.getContext('2d').getImageData(0, 200, c.width, 1).data)"
        )
    ).reshape(-1, 4)[:, :3]
    changes = np.flatnonzero(np.abs(np.diff(row, axis=0)).sum(axis=1))
    changes = changes[np.abs(changes - len(row) / 2) > 2]  # but the one at the divider
    assert len(changes) > 20 and len(set(changes % 8)) == 1
    keys(window, "0")
    assert window.driver.find_element("id", "zoom").text == "fit"


def test_a_click_on_a_face_copies_its_option(window: Browser, page: Path) -> None:
    shown(window, page)
    window.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    window.driver.find_element("css selector", ".choose").click()
    told = window.driver.find_element("id", "told")
    wait(window, lambda: told.text.startswith("Copied: --faces "))
    copied = window.driver.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, done)"
    )
    assert copied == told.text.removeprefix("Copied: ") == "--faces 1"
    assert window.driver.find_element("id", "command").text.endswith("--faces 1")
    keys(window, "f")
    mark = window.driver.find_element("css selector", ".mark:not([hidden])")
    middle = mark.rect["x"] + mark.rect["width"] / 2
    window.run("window.scrollTo(0, 0)")
    face = spot(window, 230 + 4, 0)[0]
    assert abs(middle - face) < 25 and mark.get_attribute("aria-pressed") == "true"
    mark.click()
    assert "No face is chosen" in told.text


LAYOUT = """
const kinds = "button, select, input, output, summary, figcaption, h1, h2, code, .card, #divider, .shot span, table";
const seen = [...document.querySelectorAll(kinds)].filter((one) => one.checkVisibility({ opacityProperty: true }));
const boxes = seen.map((one) => one.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom]);
const inside = seen.map((one) => seen.map((other) => one !== other && (one.contains(other) || other.contains(one))));
const cut = seen.filter((one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0
  && getComputedStyle(one).overflowX !== "visible" && one.tagName !== "SELECT");
const name = (one) => one.outerHTML.slice(0, 80);
return [seen.map(name), boxes, inside, cut.map(name), document.documentElement.scrollWidth, innerWidth];
"""
NAMED = ("button", "slider", "combobox", "checkbox", "radio", "image", "link", "meter", "spinbutton", "textbox")


def check_layout(window: Browser) -> None:
    """Nothing overlaps, is cut off, or has no name."""
    names, boxes, inside, cut, width, room = window.run(LAYOUT)
    assert width <= room and cut == []
    for one, other in itertools.combinations(range(len(boxes)), 2):
        a, b = boxes[one], boxes[other]
        across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        assert inside[one][other] or across < 1 or down < 1, (names[one], names[other])
    assert all(box[0] >= 0 and box[2] <= room + 1 for box in boxes)
    window.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = window.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [(node["role"]["value"], node["name"]["value"]) for node in nodes if not node["ignored"] and "name" in node]
    assert [role for role, name in roles if role.lower() in NAMED and not name.strip()] == []
    assert {"button", "slider"} <= {role for role, _ in roles} or not names[0].startswith("<button")


@BOTH
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overlaps_is_cut_off_or_unnamed(window: Browser, page: Path, size: tuple[int, int], dark: bool) -> None:
    shown(window, page, size, dark)
    check_layout(window)
    ground = window.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(int(word) for word in ground[4:-1].split(",")) < 200) == dark
    window.driver.find_element("css selector", "label:has(input[value=side])").click()
    check_layout(window)


@BOTH
def test_no_connection_is_opened_and_nothing_complained_of(window: Browser, page: Path, size: tuple[int, int]) -> None:
    shown(window, page, size)
    keys(window, " ", " ", ".", "+", "f", "0")
    time.sleep(0.2)
    assert window.said() == []
    asked = window.asked()
    assert page.absolute().as_uri() in asked
    assert [url for url in asked if not url.startswith(("data:", "blob:")) and url != page.absolute().as_uri()] == []
    assert NAME in window.driver.title and NAME in window.driver.find_element("tag name", "h1").text


def test_a_large_film_is_played_from_beside_the_page(window: Browser, page: Path, tmp_path: Path) -> None:
    settings = Enhance(render=Render(scale="1", model="plain"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preview_page, "HELD_MIB", 0)
        preview(page.with_name(NAME), tmp_path, Preview((8, 14)), settings, [Variant("one", load("plain"))], Meter())
    large = tmp_path / "index.html"
    shown(window, large)
    step(window, ".", 9)
    picture = window.picture()
    assert (read(window, picture, False), read(window, picture, True)) == (9, 9)
    allowed = [large.as_uri(), (tmp_path / "preview.mp4").as_uri()]
    assert [url for url in window.asked() if not url.startswith("data:") and url not in allowed] == []
    assert window.said() == []
    (tmp_path / "preview.mp4").unlink()
    window.open(large)
    wait(window, lambda: window.driver.find_element("id", "failed").is_displayed())


@BOTH
def test_the_report_is_a_page_without_a_script(window: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    told = report()
    first = dataclasses.replace(told.tracks[0], curve=tuple((n, 0.9, 4.0 + n, 6.0 + n) for n in range(0, 10, 5)))
    told = dataclasses.replace(told, input=NAME, tracks=(first, *told.tracks[1:]))
    save_page(told, tmp_path / "report.html")
    window.open(tmp_path / "report.html", size)
    text = window.driver.find_element("tag name", "body").text
    for words in (NAME, "too large", "Chapters could not be kept.", "vidsr enhance in.mp4", "Face 2: passed through"):
        assert words in text
    assert len(window.driver.find_elements("css selector", "svg[aria-label]")) == 2 + 2 + 2 + 2
    assert window.driver.find_elements("tag name", "script") == []
    check_layout(window)
    assert window.said() == []
    assert [url for url in window.asked() if not url.startswith(("data:", "file:"))] == []
