"""What films cost: hours of processors and GPUs, and what goes over the network and onto disks; docs/capacity.md.

    python -m tests.bench.budget

MEASURED is what `python -m tests.bench.costs` found; ASSUMED is what nobody has measured here, and what films are like.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Processor seconds: of a frame of 1280x720 with a face, of a crop of 128 pixels, of a gigabyte's checksum."""

    analyze: float
    decode_crop_blend: float
    encode: float
    network: float
    checksum: float
    check: float


@dataclass(frozen=True)
class Assumed:
    """What films are like, and a GPU."""

    minutes: float = 100.0
    fps: float = 25.0
    faces: float = 1.0
    """In the mean frame, of some 128 pixels."""
    gpu_faces: float = 1000.0
    """That a GPU restores in a second: 14.5 GFLOP each make 15 TFLOP a second; an H100 has some 1000: a guess."""
    in_mbit: float = 5.0
    out_mbit: float = 8.0

    @property
    def frames(self) -> float:
        return self.minutes * 60 * self.fps


@dataclass(frozen=True)
class Budget:
    """What a film costs."""

    analyze_h: float
    render_h: float
    join_h: float
    network_h: float
    gpu_h: float
    read_gb: float
    written_gb: float
    kept_gb: float

    @property
    def cpu_h(self) -> float:
        """Hours of cores where a GPU runs the network."""
        return self.analyze_h + self.render_h + self.join_h


def budget(measured: Measured, assumed: Assumed) -> Budget:
    """One film's costs."""
    frames = assumed.frames
    seconds = assumed.minutes * 60
    in_gb, out_gb = (mbit * seconds / 8000 for mbit in (assumed.in_mbit, assumed.out_mbit))
    return Budget(
        analyze_h=(frames * measured.analyze + in_gb * measured.checksum) / 3600,
        render_h=(frames * (measured.decode_crop_blend + measured.encode) + out_gb * measured.checksum) / 3600,
        join_h=frames * measured.check / 3600,
        network_h=frames * assumed.faces * measured.network / 3600,
        gpu_h=frames * assumed.faces / assumed.gpu_faces / 3600,
        # The film: checksum, analysis, render, join. The output: segments' checksums, join, two checks.
        read_gb=4 * in_gb + 4 * out_gb,
        written_gb=2 * out_gb,
        kept_gb=out_gb,
    )


MEASURED = Measured(
    analyze=0.0497, decode_crop_blend=0.0118, encode=0.0529, network=0.2019, checksum=1.65, check=0.0090
)  # a Xeon core of a shared machine; the face's crop has 128 pixels


def main() -> None:
    """Print the table."""
    one = budget(MEASURED, Assumed())
    rows = (
        ("core hours: analysis", one.analyze_h),
        ("core hours: decode, crop, blend, encode", one.render_h),
        ("core hours: join and check", one.join_h),
        ("GPU hours: network", one.gpu_h),
        ("or core hours: network without a GPU", one.network_h),
        ("read over the network, GB", one.read_gb),
        ("written, GB", one.written_gb),
        ("kept, GB", one.kept_gb),
    )
    print("| | 1 film | 10,000 | 1,000,000 |\n|---|---|---|---|")
    for name, value in rows:
        print(f"| {name} | {value:,.2g} | {value * 1e4:,.0f} | {value * 1e6:,.0f} |")


if __name__ == "__main__":
    main()
