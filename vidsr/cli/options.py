"""Options of the command line, made from the settings' fields: their defaults, ranges and words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from vidsr import config
from vidsr.config import ANALYZE_FIELDS, ENCODE_FIELDS, ENHANCE_FIELDS, RENDER_FIELDS

Settings = TypeVar("Settings")

Command = Callable[..., None]

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Time(click.ParamType[float]):
    """Seconds, or hours, minutes and seconds with colons between; gives seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; BadParameter for what is no time."""
        found = re.fullmatch(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,9}(?:\.\d*)?|\.\d+)", str(value).strip())
        hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0, 0, -1)
        if seconds < 0 or (found and found[2] and seconds >= 60) or (found and found[1] and minutes >= 60):
            self.fail(f"{value!r} is no time: give seconds, as in 90.5, or 1:02:03.5", param, ctx)
        return hours * 3600 + minutes * 60 + seconds


CHOICES: dict[str, Sequence[str]] = {
    "scale": config.SCALES,
    "codec": config.CODECS,
    "deinterlace": config.DEINTERLACE,
    "precision": config.PRECISIONS,
    "detector": config.DETECTORS,
    "landmarks": config.LANDMARKERS,
    "stage": config.STAGES,
    "architecture": config.ARCHITECTURES,
    "critic": config.CRITICS,
    "adversarial": config.RIVALRIES,
}

RANGES: dict[str, click.ParamType[object]] = {
    "fidelity": click.FloatRange(0, 1),
    "batch": click.IntRange(1, 4096),
    "crf": click.FloatRange(0, 63),
    "detect_every": click.IntRange(1, 100),
    "min_face": click.FloatRange(1, 4096),
    "start": Time(),
    "end": Time(),
    "spool_gib": click.FloatRange(0, min_open=True),
    "duration": click.FloatRange(0, min_open=True),
    "steps": click.IntRange(1),
    "check_every": click.IntRange(1),
    "decay": click.IntRange(1),
    "rate": click.FloatRange(0, 1, min_open=True),
    "window": click.IntRange(1, 15),
    "seed": click.IntRange(0),
    "occluded": click.FloatRange(0, 1),
    "held_mib": click.IntRange(0),
    "workers": click.IntRange(0, 256),
    "ray_cpus": click.FloatRange(0.1, 1024),
    "ray_gpus": click.FloatRange(0.01, 1),
    "ray_memory": click.FloatRange(0.1, 1024),
    "temporal_weight": click.FloatRange(0),
    "film": click.FloatRange(0, 1),
    "moving": click.FloatRange(0, 1),
    "features": click.IntRange(1, 512),
    "blocks": click.IntRange(1, 128),
}

FILES = click.Path(readable=False)  # what cannot be read gets a sentence of ours
PATHS: dict[str, click.ParamType[object]] = {
    "tracks": FILES,
    "work_dir": click.Path(file_okay=False, readable=False),
    "data": FILES,
    "films": FILES,
    "validation": FILES,
    "initial": FILES,
    "perceptual": FILES,
}


def offer(*words: str, files: bool = False) -> Offer:
    """What a shell offers for an option: words, and with `files`, names of files."""

    def offered(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        # Files come first: click's script for bash forgets what came before them.
        found = [CompletionItem(begun, type="file")] if files else []
        return [*found, *(CompletionItem(word) for word in words if word.startswith(begun))]

    return offered


OFFERS = {
    "model": offer(config.Render.model, "plain", files=True),
    "faces": offer("all", "largest"),
    "device": offer("auto", "cpu", "cuda", "mps"),
    "progress": offer("bar", "json"),
}

HELP = {
    "detector": "What finds faces; all but centerface are downloaded at first use.",
    "landmarks": "What places its eyes, nose and mouth; fan, face-alignment's 68 points, is downloaded at first use.",
    "detect_every": "Frames from one detection to the next; the points between are followed.",
    "min_face": "Pass faces by whose box is smaller than this many pixels.",
    "scale": "Enlarge the picture; auto takes the largest that keeps its short side within 1440.",
    "model": "A name from `vidsr models`, a model file (.safetensors, .pth), or plain.",
    "fidelity": f"From 0, sharpest (the GAN), to 1, truest to the input.  [default: {config.BALANCE}]",
    "faces": "Which faces: all, largest, or ids from `vidsr analyze` or FRAME@XxY, with commas between.",
    "device": "auto, cpu, cuda, cuda:N or mps (Apple).",
    "progress": "bar; json: a line of JSON an event on stderr; or json:FILE (docs/programs.md).",
    "spool_gib": "Largest film that is taken from stdin, GiB: it is kept in a file.",
    "watch": "Go on looking for films that come into the folders, until Ctrl-C.",
    "Train.batch": "Samples of each step, all processes together.",
    "precision": "Numbers of the network; auto: bf16 if the device has it, else fp32.",
    "batch": "Faces of 64 pixels in one call of the network.",
    "keep_grain": "Leave noise and the codec's flicker in faces as they are.",
    "codec": "Encoder of the output's picture; auto: H.264, HEVC for HDR, AV1 in webm.",
    "deinterlace": "Interlaced film: auto or frame, one frame for each; field, two; ivtc, film in 30 frames; or off.",
    "ignore_dolby_vision": "Enhance a film of Dolby Vision profile 5 by its base layer, whose colours are wrong.",
    "crf": "Its quality, lower is better.  [default: 17 libx264, 19 libx265, 24 libsvtav1]",
    "preset": "Its preset.  [default: the encoder's own]",
    "start": "Begin here: seconds, or 1:02:03.5.",
    "end": "End here.",
    "duration": "Show this many seconds.",
    "tracks": "Use the faces in this file from `vidsr analyze`.",
    "overwrite": "Replace an output that exists.",
    "keep_going": "Of a damaged film, enhance what can be decoded.",
    "work_dir": "Make the work folder in this folder.  [default: beside the output]",
    "keep_work": "Leave the work folder when the film is done.",
    "data": "Sharp faces: folder of stills, films, CelebA, IMFDB or shards; several as in PATH; or 'synthetic'.",
    "films": "Folder of sharp films; their faces are filmed once more, beside the data.",
    "validation": "Folder of sharp faces that are not in the data.",
    "stage": "fidelity, or gan, which goes on from a fidelity model.",
    "initial": "A model to begin with.",
    "perceptual": "The GAN stage's classifier: vgg19 (downloaded), or a file of SqueezeNet 1.1.",
    "architecture": "vidsr, or srgan or vdsr of the papers, to compare with.",
    "window": "Frames that vidsr looks at, an odd number.",
    "film": "Share of each batch that is coded film.",
    "moving": "Share of each batch that moves, uncoded.",
    "temporal_weight": "Weight of the difference between neighbouring frames.",
    "adversarial": "The GAN stage's loss.",
    "critic": "Its discriminator: by DCGAN's rules, or SRGAN's.",
    "seed": "Equal seeds give equal runs.",
    "occluded": "Share of the faces before which a hand, glasses, a text ... passes.",
    "held_mib": "Memory for faces that were read, MiB in each process.",
    "workers": "Processes that make batches ahead; a GPU needs several.",
    "Hands.workers": "Processes that share the work.  [default: one for each of --devices, or this one alone]",
    "devices": "What they use, in turn, such as cuda:0,cuda:1.",
    "ray": "Let a Ray cluster do the work: auto, or HOST:PORT of its head.",
    "ray_cpus": "Processors of each worker on Ray.",
    "ray_gpus": "Its share of a GPU, where the cluster has any.",
    "ray_memory": "Its memory, GiB.",
    "steps": "Steps of training in all.",
    "check_every": "Steps from one line of the journal to the next.",
    "decay": "Last steps, over which the learning rate falls to zero.",
    "rate": "Learning rate.",
    "features": "Features of each layer.",
    "blocks": "Residual blocks.",
}


def kind_of(name: str) -> click.ParamType[object]:
    """What an option takes, by the name of its setting."""
    if name in CHOICES:
        return click.Choice(CHOICES[name])
    kinds = RANGES | PATHS
    return kinds.get(name, click.STRING)


def _option(
    field: dataclasses.Field[object], kind: type[object], several: bool = False
) -> Callable[[Command], Command]:
    name, default = f"--{field.name.replace('_', '-')}", field.default
    text = HELP.get(f"{kind.__name__}.{field.name}") or HELP[field.name]
    if default is False:
        return click.option(name, is_flag=True, default=False, help=text)
    if several:
        words = f"{text}  Several are compared."
        offers = OFFERS.get(field.name)
        return click.option(name, type=kind_of(field.name), multiple=True, shell_complete=offers, help=words)
    return click.option(
        name,
        type=kind_of(field.name),
        default=default,
        show_default=default is not None,
        shell_complete=OFFERS.get(field.name),
        help=text,
    )


def options(kind: type[object], *names: str, several: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Options for these fields of a dataclass of `config`, with its defaults; those in `several` may be repeated."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = _option(fields[name], kind, name in several)(command)
        return command

    return decorate


COMPARED = ("model", "fidelity")
"""Of which a preview takes several, to be seen side by side."""


PIPES = ("progress", "spool_gib")

GROUPS = {
    "Picture": ("scale", "model", "fidelity", "start", "end", "keep_grain", "deinterlace", "ignore_dolby_vision"),
    "Faces": ("faces", "tracks", "min_face", "detect_every", "detector", "landmarks"),
    "Output": ("output", "overwrite", "codec", "crf", "preset", "report", "dry_run"),
    "Messages": ("quiet", "verbose", "progress", "help"),
    "Machine": ("device", "precision", "batch", "fresh", "keep_going", "work_dir", "keep_work", "spool_gib", "config"),
    "Many films": ("watch", "workers", "devices", "ray", "ray_cpus", "ray_gpus", "ray_memory"),
}
"""The headings of `enhance --help`, and what stands below each, the most needed first."""


class Grouped(click.Command):
    """A command whose options stand under the headings of GROUPS; what is in none of them comes last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a list for each heading."""
        given = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        left = {one.opts[-1].removeprefix("--").replace("-", "_"): one.get_help_record(ctx) for one in given}
        for heading, names in [*GROUPS.items(), ("Other", tuple(left))]:
            found = [record for name in names if (record := left.pop(name, None))]
            if found:
                with formatter.section(heading):
                    formatter.write_dl(found)


HANDS = ("workers", "devices", "ray", "ray_cpus", "ray_gpus", "ray_memory")


def hands(values: dict[str, object]) -> config.Workers:
    """Who these options want the work to be done by."""
    return config.Workers(**{name: values[name] for name in HANDS})  # type: ignore[arg-type]


def enhance_settings(values: dict[str, object]) -> config.Enhance:
    """The settings that these options name; what is not named keeps its default."""

    def of(kind: type[Settings], names: Sequence[str]) -> Settings:
        return kind(**{name: values[name] for name in names if name in values})

    parts = {
        "analyze": of(config.Analyze, ANALYZE_FIELDS),
        "render": of(config.Render, RENDER_FIELDS),
        "encode": of(config.Encode, ENCODE_FIELDS),
    }
    rest = {name: values[name] for name in ENHANCE_FIELDS if name in values}
    return config.Enhance(**parts, **rest)  # type: ignore[arg-type]


TRAIN = (
    "data",
    "films",
    "validation",
    "stage",
    "initial",
    "perceptual",
    "adversarial",
    "critic",
    "temporal_weight",
    "film",
    "moving",
    "architecture",
    "window",
    "steps",
    "check_every",
    "decay",
    "rate",
    "batch",
    "features",
    "blocks",
    "occluded",
    "held_mib",
    "workers",
    "seed",
    "device",
    "precision",
)
