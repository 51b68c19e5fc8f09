"""Films in and out: `probe`, `Reader`, `Writer` and `publish`. Every ffmpeg process of the package is started here."""

from __future__ import annotations

from vidsr.video.containers import check_codec, container_of, is_film_name
from vidsr.video.inspection import looked_at
from vidsr.video.mux import publish
from vidsr.video.probe import Film, probe
from vidsr.video.process import encoders, require_encoder, tools
from vidsr.video.reader import Reader
from vidsr.video.rehearsal import output_suffix, passages, rehearse
from vidsr.video.writer import CODED, CRF, Output, Writer, chosen_codec

__all__ = [
    "CODED",
    "CRF",
    "Film",
    "Output",
    "Reader",
    "Writer",
    "check_codec",
    "chosen_codec",
    "container_of",
    "encoders",
    "is_film_name",
    "looked_at",
    "output_suffix",
    "passages",
    "probe",
    "publish",
    "rehearse",
    "require_encoder",
    "tools",
]
