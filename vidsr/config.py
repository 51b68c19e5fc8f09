"""Every setting with its default, range and meaning: the only home of defaults; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

CODECS = ("auto", "libx264", "libx265", "libsvtav1", "ffv1")
DEINTERLACE = ("auto", "off", "frame", "field", "ivtc")
DETECTORS = ("centerface", "sfd", "blazeface", "retinaface", "scrfd", "yunet")
"""The first comes with the install; the others are face-alignment's and are downloaded at first use."""
LANDMARKERS = ("detector", "fan")
"""The detector's own five points, or five of the 68 of face-alignment's network, which is downloaded at first use and
which its detectors always take."""
BALANCE = 0.5
"""The fidelity of a family of models where none is asked for: in the middle a poor film gains
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


@dataclass(frozen=True)
class Encode:
    """How the output's picture is coded."""

    codec: str = "auto"  # what the container and the film ask for: H.264, HEVC for HDR, AV1 in webm
    crf: float | None = None  # None: 17 for libx264, 19 for libx265, 24 for libsvtav1; ffv1 is lossless
    preset: str | None = None  # None: the encoder's own default


@dataclass(frozen=True)
class Analyze:
    """How faces are found and followed."""

    detector: str = "centerface"
    landmarks: str = "detector"  # what places eyes, nose and mouth in a face that was found
    detect_every: int = 5  # frames between detections; optical flow follows the points between them
    detect_side: int = 960  # the picture is reduced to this long side before detection; never enlarged
    min_score: float = 0.55  # begins a track, and a third of its detections have it; two thirds of it continue one
    min_face: float = 12.0  # smallest side of a face's box
    bridge_s: float = 1.0  # longest gap inside a shot that is bridged
    min_track_s: float = 0.2  # shorter tracks are dropped
    fade_frames: int = 4  # frames over which the effect fades where a track begins or ends inside a shot
    smooth_s: float = 0.2  # standard deviation of the steadying filter for a still head


@dataclass(frozen=True)
class Render:
    """Who is restored, by which model, where."""

    scale: str = "auto"  # of the picture; auto: the largest of 1, 2, 4 whose short side stays within 1440
    model: str = "vidsr_x4"  # a shipped or added model, a file that spandrel recognises, or "plain"
    fidelity: float | None = None  # 0: the GAN, 1: true to the input; None: BALANCE
    faces: str = "all"  # all, largest, or track ids separated by commas
    device: str = "auto"
    precision: str = "auto"
    batch: int = 16  # faces of 64 px in one call of the network; larger crops count by their area
    keep_grain: bool = False  # do not average over time what stands still in a face


@dataclass(frozen=True)
class Enhance:
    """One film's whole job."""

    analyze: Analyze = Analyze()
    render: Render = Render()
    encode: Encode = Encode()
    deinterlace: str = "auto"  # interlaced film: a frame for each, if found to be one; field: two; ivtc: as shot
    ignore_dolby_vision: bool = False  # work on the base layer of a film that cannot be watched without its RPU
    start: float | None = None  # seconds from the film's beginning
    end: float | None = None
    tracks: str | None = None  # a file from `vidsr analyze`; None: analyze
    segment_s: float = 10.0  # length of the pieces that are rendered one by one
    overwrite: bool = False
    keep_going: bool = False  # of a damaged film, enhance what can be decoded
    work_dir: str | None = None  # where the work folder is made; None: beside the output
    keep_work: bool = False  # leave the work folder when the film is done


@dataclass(frozen=True)
class Pipes:
    """What the program is told, and tells, while it works."""

    progress: str = "bar"  # or "json": a line of JSON an event on stderr, or "json:FILE"
    spool_gib: float = 20.0  # largest film from stdin that is kept in a file


@dataclass(frozen=True)
class Watching:
    """How `--watch` looks for films that come."""

    watch: bool = False
    look_s: float = 5.0  # from one look at the folders to the next
    rest_s: float = 10.0  # a film is whole when its size and time have stayed for so long


@dataclass(frozen=True)
class Workers:
    """Who does the work of `enhance`; changes nothing in what comes out."""

    workers: int = 0  # processes on this machine; 0: one for each of `devices`, or this process alone
    devices: str | None = None  # what the workers use, with commas between, in turn; None: the device of Render
    ray: str | None = None  # "auto", or HOST:PORT of a Ray cluster; None: this machine alone
    ray_cpus: float = 1.0  # that each worker on Ray takes of its node: also its threads
    ray_gpus: float = 1.0  # ... where the cluster has GPUs; 0.5 lets two workers share one
    ray_memory: float = 2.0  # GiB

    @property
    def wanted(self) -> bool:
        """Whether anybody but this process is to work."""
        return bool(self.workers or self.devices or self.ray)


@dataclass(frozen=True)
class Preview:
    """Which part of a film is shown: `frames` (first, stop), or seconds from `start`, or the most telling ones."""

    frames: tuple[int, int] | None = None
    start: float | None = None  # seconds from the film's beginning; None: where the film tells the most
    duration: float = 3.0  # seconds


@dataclass(frozen=True)
class Ruler:
    """How `vidsr evaluate video` makes sharp clips poor, and what it looks at."""

    crf: tuple[int, ...] = (1, 18, 23, 28, 33)  # of x264
    codec: tuple[str, ...] = ("x264",)
    bitrate: float | None = None  # kbit/s of mpeg2 at 720x576, of mpeg4 at 640x480; None: 3000 and 800
    frames: int = 16  # measured, in the middle of each clip
    scale: int = 4  # of the pipeline; at 1 the truth is the film before its codec
    motion: bool = False  # measure flicker, jitter and warping too
    alone: bool = False  # every model frame by frame as well


@dataclass(frozen=True)
class Train:
    """How a model is trained."""

    data: str = "synthetic"  # sharp faces: paths set off as in PATH, or "synthetic" for a smoke run
    films: str | None = None  # a folder of sharp films, whose faces are filmed once more beside the stills
    validation: str | None = None  # a folder of sharp faces that are not in `data`; None: no validation
    output: str = "model.safetensors"
    stage: str = "fidelity"  # or "gan", which goes on from `initial`
    initial: str | None = None  # a model file to begin with
    perceptual: str = "vgg19"  # the GAN stage's classifier: vgg19, or a file of torchvision's SqueezeNet 1.1
    steps: int = 20_000
    warmup: int = 100  # steps over which the learning rate rises
    decay: int = 6_000  # last steps, over which the learning rate falls to zero as a cosine
    rate: float = 2e-3  # Adam's learning rate
    batch: int = 16
    patch: int = 32  # side of the low-resolution patches
    architecture: str = "vidsr"
    window: int = 5  # frames that the network looks at; srgan and vdsr look at one
    features: int = 48
    blocks: int = 10
    film: float = 0.375  # share of every batch that went through noise, blur and H.264
    moving: float = 0.1875  # share of every batch that moves but is clean
    reels: int = 24  # films of 16 faces each that are held in memory
    occluded: float = 0.1  # share of the faces before which something passes, in input and truth alike
    held_mib: int = 1024  # of faces that stay in the memory of each process once they were read
    workers: int = 0  # processes that make batches ahead; a GPU needs several, or it waits
    temporal_weight: float = 0.0  # of the difference between neighbouring frames, beside a fidelity of 1
    perceptual_weight: float = 0.02  # of the GAN stage's losses, beside a fidelity of 1
    adversarial_weight: float = 0.01
    adversarial: str = "hinge"
    critic: str = "dcgan"
    critic_features: int = 48
    average: float = 0.999  # of the weights, over steps (EMA)
    clip_norm: float = 1.0  # longest gradient
    save_s: float = 180.0  # seconds between checkpoints
    check_every: int = 1000  # steps between validations
    seed: int = 1
    threads: int = 0  # 0: as many as torch takes by itself
    device: str = "auto"
    precision: str = "auto"  # of the network's work: bf16 where the device multiplies it, else fp32


ANALYZE_FIELDS = ("detector", "landmarks", "detect_every", "min_face")


RENDER_FIELDS = ("scale", "model", "fidelity", "faces", "device", "precision", "batch", "keep_grain")


ENCODE_FIELDS = ("codec", "crf", "preset")


ENHANCE_FIELDS = (
    "deinterlace",
    "ignore_dolby_vision",
    "start",
    "end",
    "tracks",
    "overwrite",
    "keep_going",
    "work_dir",
    "keep_work",
)
