"""Every setting with its default, range, meaning and option: the only home of defaults; imports nothing heavy.

A field that `option` makes is an option of the command line, of `vidsr.toml` and of `vidsr.enhance`.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import TypeVar

CODECS = ("auto", "libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1")
DEINTERLACE = ("auto", "off", "frame", "field", "ivtc")
DETECTORS = ("centerface", "sfd", "blazeface", "retinaface", "scrfd", "yunet")
"""The first comes with the install; the others are face-alignment's and are downloaded at first use."""
LANDMARKERS = ("detector", "fan")
"""The detector's own five points, or five of the 68 of face-alignment's network, which is downloaded at first use and
which its detectors always take."""
BALANCE = 0.5
"""The fidelity of a family of models where none is asked for: in the middle a degraded film gains
sharpness, and is not farther from the truth than its plain enlargement."""
STAGES = ("fidelity", "gan")
ARCHITECTURES = ("vidsr", "srgan", "vdsr")
CRITICS = ("dcgan", "srgan")
RIVALRIES = ("hinge", "relativistic")
SCALES = ("auto", "1", "2", "4")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CROP_STEP, SMALLEST_CROP = 8, 32
"""Sides of the low-resolution crops, pixels: multiples of the one, not less than the other."""
MAX_WINDOW = 320.0
"""Faces whose window is wider than this many source pixels are passed through: the network does not help them."""
DEFAULT_MODEL = "vidsr_x4"

FILE, FOLDER, TIME = "file", "folder", "time"
"""What an option may take, beside choices, ranges, and text as it is."""
PICTURE, FACES, OUTPUT, MESSAGES, MACHINE, MANY = "Picture", "Faces", "Output", "Messages", "Machine", "Many films"
"""The headings of `enhance --help`, in their order."""

DEVICE, DEVICES = "auto, cpu, cuda, cuda:N or mps (Apple).", ("auto", "cpu", "cuda", "mps")
NUMBERS = "Numbers of the network; auto: bf16 if the device has it, else fp32."
BEGIN = "Begin here: seconds, or 1:02:03.5."
"""Words of options that two commands have."""

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; without `low` itself where it is `above` it."""

    low: float
    high: float | None = None
    above: bool = False


@dataclass(frozen=True)
class Option:
    """What the command line makes of a setting; its default and whether it is a whole number are the field's own.

    `words` are its help, `takes` a range, choices, or one of FILE, FOLDER, TIME; `under` is its heading. A shell offers
    `offers`, among which FILE stands for names of files. A `vidsr.toml` in the working folder, which may have come with
    somebody else's films, may set what is `harmless`: nothing that names a file, replaces or drops one, or fetches
    something. Where the output does not depend on it, `changes` is False.
    """

    words: str
    takes: Range | tuple[str, ...] | str = ""
    under: str = MACHINE
    offers: tuple[str, ...] = ()
    harmless: bool = False
    changes: bool = True


def option(
    default: T, words: str, takes: Range | tuple[str, ...] | str = "", under: str = MACHINE, **more: object
) -> T:
    """A field of the settings that is an option; see `Option`."""
    made: T = field(default=default, metadata={"option": Option(words, takes, under, **more)})  # type: ignore[arg-type]
    return made


def local(default: T, words: str, takes: Range | tuple[str, ...] | str = "", under: str = MACHINE, **more: object) -> T:
    """An option that is harmless; see `Option`."""
    return option(default, words, takes, under, harmless=True, **more)


def options_of(kind: type[object]) -> dict[str, tuple[Field[object], Option]]:
    """The options among the fields of a class of settings, by their names."""
    return {one.name: (one, one.metadata["option"]) for one in fields(kind) if "option" in one.metadata}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Encode:
    """How the output's picture is coded."""

    codec: str = local(
        "auto", "Encoder of the output's picture; auto: H.264, HEVC for HDR, AV1 (else VP9) in webm.", CODECS, OUTPUT
    )
    crf: float | None = local(
        None,
        "Its quality, lower is better.  [default: 17 libx264, 19 libx265, 24 libsvtav1 and libvpx-vp9]",
        Range(0, 63),
        OUTPUT,
    )
    preset: str | None = local(None, "Its preset.  [default: the encoder's own]", "", OUTPUT)


@dataclass(frozen=True)
class Analyze:
    """How faces are found and followed."""

    detector: str = option(
        "centerface", "What finds faces; all but centerface are downloaded at first use.", DETECTORS, FACES
    )
    landmarks: str = option(
        "detector",
        "What places eyes, nose, mouth; fan, face-alignment's 68 points, is downloaded at first use.",
        LANDMARKERS,
        FACES,
    )
    detect_every: int = local(
        5, "Frames from one detection to the next; the points between are followed.", Range(1, 100), FACES
    )
    min_face: float = local(12.0, "Pass faces by whose box is smaller than this many pixels.", Range(1, 4096), FACES)
    detect_side: int = 960  # the picture is reduced to this long side before detection; never enlarged
    min_score: float = 0.55  # begins a track, and a third of its detections have it; two thirds of it continue one
    bridge_s: float = 1.0  # longest gap inside a shot that is bridged
    min_track_s: float = 0.2  # shorter tracks are dropped
    fade_frames: int = 4  # frames over which the effect fades where a track begins or ends inside a shot
    smooth_s: float = 0.2  # standard deviation of the smoothing filter for a still head


@dataclass(frozen=True)
class Render:
    """Who is restored, by which model, where."""

    scale: str = local(
        "auto", "Enlarge the picture; auto: the largest whose short side stays within 1440.", SCALES, PICTURE
    )
    model: str = local(
        DEFAULT_MODEL,
        "A name from `vidsr models`, a model file (.safetensors, .pth), or plain.",
        "",
        PICTURE,
        offers=(FILE, DEFAULT_MODEL, "plain"),
    )
    fidelity: float | None = local(
        None, f"From 0, sharpest (the GAN), to 1, truest to the input.  [default: {BALANCE}]", Range(0, 1), PICTURE
    )
    faces: str = local(
        "all",
        "all, largest, or ids from `vidsr analyze` or FRAME@XxY, with commas between.",
        "",
        FACES,
        offers=("all", "largest"),
    )
    device: str = local("auto", DEVICE, offers=DEVICES)
    precision: str = local("auto", NUMBERS, PRECISIONS)
    batch: int = local(16, "Faces of 64 pixels in one call of the network.", Range(1, 4096))
    keep_grain: bool = local(False, "Leave noise and the codec's flicker in faces as they are.", "", PICTURE)


@dataclass(frozen=True)
class Enhance:
    """One film's whole job."""

    analyze: Analyze = Analyze()
    render: Render = Render()
    encode: Encode = Encode()
    deinterlace: str = local(
        "auto",
        "Interlaced film: auto, frame: one frame for each; field: two; ivtc: film in 30 frames; off.",
        DEINTERLACE,
        PICTURE,
    )
    ignore_dolby_vision: bool = option(
        False, "Enhance a film of Dolby Vision profile 5 by its base layer, whose colors are wrong.", "", PICTURE
    )
    start: float | None = option(None, BEGIN, TIME, PICTURE)
    end: float | None = option(None, "End here.", TIME, PICTURE)
    tracks: str | None = option(None, "Use the faces in this file from `vidsr analyze`.", FILE, FACES)
    overwrite: bool = option(False, "Replace an output that exists.", "", OUTPUT, changes=False)
    keep_going: bool = local(False, "Of a damaged film, enhance what can be decoded.")
    work_dir: str | None = option(
        None, "Make the work folder in this folder.  [default: beside the output]", FOLDER, changes=False
    )
    keep_work: bool = local(False, "Leave the work folder when the film is done.", changes=False)
    segment_s: float = 10.0  # length of the pieces that are rendered one by one


@dataclass(frozen=True)
class Pipes:
    """What the program is told, and tells, while it works."""

    progress: str = option(
        "bar",
        "bar; json: a line of JSON an event on stderr; or json:FILE (docs/programs.md).",
        "",
        MESSAGES,
        offers=("bar", "json"),
    )
    spool_gib: float = option(
        20.0, "Largest film that is taken from stdin, GiB: it is kept in a file.", Range(0, above=True)
    )


@dataclass(frozen=True)
class Watching:
    """How `--watch` looks for films that come."""

    watch: bool = option(False, "Go on looking for films that come into the folders, until Ctrl-C.", "", MANY)
    look_s: float = 5.0  # from one look at the folders to the next
    rest_s: float = 10.0  # a film is whole when its size and time have stayed for so long


@dataclass(frozen=True)
class Workers:
    """Who does the work of `enhance`; changes nothing in what comes out."""

    workers: int = option(
        0,
        "Processes that share the work.  [default: one for each of --devices, or this one alone]",
        Range(0, 256),
        MANY,
    )
    devices: str | None = option(None, "What they use, in turn, such as cuda:0,cuda:1.", "", MANY)
    ray: str | None = option(None, "Let a Ray cluster do the work: auto, or HOST:PORT of its head.", "", MANY)
    ray_cpus: float = option(1.0, "Processors of each worker on Ray: also its threads.", Range(0.1, 1024), MANY)
    ray_gpus: float = option(1.0, "Its share of a GPU, where the cluster has any.", Range(0.01, 1), MANY)
    ray_memory: float = option(2.0, "Its memory, GiB.", Range(0.1, 1024), MANY)

    @property
    def wanted(self) -> bool:
        """Whether anybody but this process is to work."""
        return bool(self.workers or self.devices or self.ray)


@dataclass(frozen=True)
class Preview:
    """Which part of a film is shown: `frames` (first, stop), or seconds from `start`, or the most telling ones."""

    frames: tuple[int, int] | None = None
    start: float | None = option(None, BEGIN, TIME)
    duration: float = option(3.0, "Show this many seconds.", Range(0, above=True))


@dataclass(frozen=True)
class Ruler:
    """How `vidsr evaluate video` degrades sharp clips, and what it looks at."""

    crf: tuple[int, ...] = (1, 18, 23, 28, 33)  # of x264
    codec: tuple[str, ...] = ("x264",)
    bitrate: float | None = None  # kbit/s of mpeg2 at 720x576, of mpeg4 at 640x480; None: 3000 and 800
    frames: int = 16  # measured, in the middle of each clip
    scale: int = 4  # of the pipeline; at 1 the truth is the film before its codec
    motion: bool = False  # measure flicker, jitter and warping too
    alone: bool = False  # every model frame by frame as well


SHARE = Range(0, 1)


@dataclass(frozen=True)
class Train:
    """How a model is trained."""

    data: str = option(
        "synthetic",
        "Sharp faces: folder of stills, films, CelebA, IMFDB or shards; several as in PATH; or 'synthetic'.",
        FILE,
    )
    films: str | None = option(None, "Folder of sharp films; their faces are filmed once more, beside the data.", FILE)
    validation: str | None = option(None, "Folder of sharp faces that are not in the data.", FILE)
    output: str = "model.safetensors"
    stage: str = option("fidelity", "fidelity, or gan, which goes on from a fidelity model.", STAGES)
    initial: str | None = option(None, "A model to begin with.", FILE)
    perceptual: str = option(
        "vgg19", "The GAN stage's classifier: vgg19 (downloaded), or a file of SqueezeNet 1.1.", FILE
    )
    adversarial: str = option("hinge", "The GAN stage's loss.", RIVALRIES)
    critic: str = option("dcgan", "Its discriminator: by DCGAN's rules, or SRGAN's.", CRITICS)
    temporal_weight: float = option(0.0, "Weight of the difference between neighboring frames.", Range(0))
    film: float = option(0.375, "Share of each batch that is coded film.", SHARE)
    moving: float = option(0.1875, "Share of each batch that moves, uncoded.", SHARE)
    architecture: str = option("vidsr", "vidsr, or srgan or vdsr of the papers, to compare with.", ARCHITECTURES)
    window: int = option(5, "Frames that vidsr looks at, an odd number.", Range(1, 15))
    steps: int = option(20_000, "Steps of training in all.", Range(1))
    check_every: int = option(1000, "Steps from one line of the training log to the next.", Range(1))
    decay: int = option(6_000, "Last steps, over which the learning rate falls to zero.", Range(1))
    rate: float = option(2e-3, "Learning rate.", Range(0, 1, above=True))
    batch: int = option(16, "Samples of each step, all processes together.", Range(1, 4096))
    features: int = option(48, "Features of each layer.", Range(1, 512))
    blocks: int = option(10, "Residual blocks.", Range(1, 128))
    occluded: float = option(0.1, "Share of the faces before which a hand, glasses, a text ... passes.", SHARE)
    held_mib: int = option(1024, "Memory for faces that were read, MiB in each process.", Range(0))
    workers: int = option(0, "Processes that make batches ahead; a GPU needs several.", Range(0, 256))
    seed: int = option(1, "Equal seeds give equal runs.", Range(0))
    device: str = option("auto", DEVICE, offers=DEVICES)
    precision: str = option("auto", NUMBERS, PRECISIONS)
    warmup: int = 100  # steps over which the learning rate rises
    patch: int = 32  # side of the low-resolution patches
    reels: int = 24  # films of 16 faces each that are held in memory
    perceptual_weight: float = 0.02  # of the GAN stage's losses, beside a fidelity of 1
    adversarial_weight: float = 0.01
    critic_features: int = 48
    average: float = 0.999  # of the weights, over steps (EMA)
    clip_norm: float = 1.0  # longest gradient
    save_s: float = 180.0  # seconds between checkpoints
    threads: int = 0  # 0: as many as torch takes by itself
