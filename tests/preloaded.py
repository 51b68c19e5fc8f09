"""What all processes of the program in tests share, imported and asked once: `tests.program` forks them from here."""

import scipy.ndimage
import scipy.optimize
import scipy.sparse.csgraph  # noqa: F401
import torch  # noqa: F401

from tests.program import SAMPLE
from vidsr.analysis import analyze  # noqa: F401
from vidsr.cli import doctor, main, progress  # noqa: F401
from vidsr.config import Enhance
from vidsr.jobs import estimate, film_job, log  # noqa: F401
from vidsr.jobs.plan import plan
from vidsr.networks import model_file
from vidsr.previews import preview  # noqa: F401
from vidsr.report import report_page  # noqa: F401

# What ffmpeg can do is asked once a process. The README's first command may have enhanced the sample already.
plan(SAMPLE, None, Enhance(overwrite=True), model_file.load("plain"))
log.versions()
