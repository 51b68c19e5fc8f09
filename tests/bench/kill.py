"""Kill -9 at random moments, run again: the film ends as if nothing had happened.

    python -m tests.bench.kill [--count 25] [--seed 1]

Each run over one of three clips is killed in one of its stages (analysis, render, join, publish), at a moment drawn
from the length that this stage had in an unbroken run. After each kill: no process is left that names the folder, and
nothing but the work folder is beside the input. After the same command again: every packet of every stream equals the
unbroken run's, and nothing but the output is left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.bench.tools import CLIPS, SAMPLE, Trial, ffmpeg, orphans, packets
from vidsr.config import Encode, Enhance, Render
from vidsr.errors import VidsrError
from vidsr.jobs import film_job
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import plan
from vidsr.networks.model_file import open_model

STAGES = ("analysis", "render", "join", "publish")
NAMES = ("headpose_two.mp4", "grid_lwbsza.mpg", "asl_bird_hand.mkv")
SECONDS = 2.4
FEW_S = 1.2
# The network is not what is tried here: the one that does nothing makes room for more kills.
SETTINGS = Enhance(render=Render(scale="1", model="plain"), encode=Encode(preset="ultrafast"), segment_s=0.5)


@dataclass(frozen=True)
class Case:
    """A clip, the packets of its unbroken output, and how long each stage took."""

    film: Path
    output: Path
    wanted: list[str]
    lengths_s: dict[str, float]


def stage(output: Path) -> str:
    """Where the run is, seen from outside: by what lies in the work folder."""
    folder = output.with_name(output.name + ".vidsr")
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:
        return "publish" if output.exists() else ""
    if "delivered" in names or output.exists():
        return "publish"
    if any(name.startswith("whole.") for name in names):
        return "join"
    if "tracks.json" in names:
        return "render"
    return "analysis" if "manifest.json" in names else ""


class Run:
    """The work on a film, in a fork of this process, which has everything imported."""

    def __init__(self, film: Path, output: Path) -> None:
        self.code: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            _work(film, output)

    def running(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def wait(self) -> int:
        while self.running():
            time.sleep(0.01)
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        if self.running():
            os.kill(self._pid, signal.SIGKILL)


def _work(film: Path, output: Path) -> None:
    """The rest of the child's life."""
    try:
        model = open_model(SETTINGS.render.model, None)
        film_job.enhance(plan(film, output, SETTINGS, model), Meter())
        os._exit(0)
    except VidsrError:
        os._exit(1)
    except BaseException:
        traceback.print_exc()
    os._exit(70)


def unbroken(film: Path, output: Path) -> Case:
    """Run once, and note when each stage begins."""
    begins: dict[str, float] = {}
    child = Run(film, output)
    while child.running():
        begins.setdefault(stage(output), time.monotonic())
        time.sleep(0.01)
    if child.code:
        raise SystemExit(f"{film.name}: the unbroken run ended with {child.code}")
    ends = [*(begins[name] for name in STAGES[1:] if name in begins), time.monotonic()]
    lengths = {name: end - begins[name] for name, end in zip((n for n in STAGES if n in begins), ends, strict=True)}
    wanted = packets(output)
    output.unlink()
    return Case(film, output, wanted, lengths)


def broken(case: Case, where: str, part: float) -> tuple[list[str], str]:
    """Kill a run at this part of this stage and run it again; what does not hold, and the stage that was met."""
    child = Run(case.film, case.output)
    while child.running() and stage(case.output) not in STAGES[STAGES.index(where) :]:
        time.sleep(0.004)
    time.sleep(part * case.lengths_s.get(where, 0.0))
    met = stage(case.output)
    child.kill()
    done = child.wait() == 0
    wrong = [f"{len(left)} processes left" for left in [orphans(case.film.parent)] if left]
    there = case.output.exists()
    allowed = {case.film.name, case.output.name + ".vidsr", *([case.output.name] if there else [])}
    if strange := {path.name for path in case.film.parent.iterdir()} - allowed:
        wrong.append(f"beside the input: {sorted(strange)}")
    if there and packets(case.output) != case.wanted:
        wrong.append("the output was there before it was whole")
    folder = case.output.with_name(case.output.name + ".vidsr")
    cleaned = there and not (folder.exists() and any(folder.iterdir()))  # killed after its last step but one
    code = Run(case.film, case.output).wait()
    if code != (1 if done or cleaned else 0):  # a film that is done is not done again: it exists
        wrong.append(f"the rerun ended with {code}")
    elif packets(case.output) != case.wanted:
        wrong.append("the rerun's packets differ")
    if left := {path.name for path in case.film.parent.iterdir()} - {case.film.name, case.output.name}:
        wrong.append(f"left behind: {sorted(left)}")
    return wrong, met or "start"


def clips(folder: Path, few: bool) -> list[Path]:
    """Three clips of some five segments, or the sample alone of three, each in a folder of its own."""
    sources = [SAMPLE] if few or not CLIPS.is_dir() else [CLIPS / name for name in NAMES]
    made = []
    for number, source in enumerate(sources):
        (folder / str(number)).mkdir()
        made.append(folder / str(number) / source.name)
        ffmpeg("-i", source, "-map", "0:v:0", "-map", "0:a?", "-t", FEW_S if few else SECONDS, "-c", "copy", made[-1])
    return made


def main() -> None:
    """Kill and rerun."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--few", action="store_true", help="over the sample film only")
    given = parser.parse_args()
    chance, trial = random.Random(given.seed), Trial()
    with tempfile.TemporaryDirectory() as name:
        cases = [unbroken(film, film.with_name("out.mkv")) for film in clips(Path(name), given.few)]
        for number in range(given.count):
            case, where, part = cases[number % len(cases)], STAGES[number % len(STAGES)], chance.random()
            wrong, met = broken(case, where, part)
            trial.line(f"{number:2} {case.film.name}, {where} at {part:.0%}", wrong, f"killed in: {met}")
            for path in case.output.parent.glob("out*"):
                if path.is_file():
                    path.unlink()
    trial.end()


if __name__ == "__main__":
    main()
