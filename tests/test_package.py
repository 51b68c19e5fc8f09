"""What is installed, and where: the wheel, its models, its command; and what the modules may import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.program import PACKAGE, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(copy),
    ]
    subprocess.run(build, check=True)
    return next(folder.glob("vidsr-*.whl"))


def test_the_wheel_holds_the_package_and_the_models_only(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vidsr"}
    assert "vidsr/models/SHA256SUMS" in names
    assert "vidsr/report/report.schema.json" in names
    assert {
        "vidsr/report/templates/base.html",
        "vidsr/report/templates/preview.js",
        "vidsr/report/templates/report.css",
    } <= set(names)
    assert "vidsr/models/vidsr_x4_fidelity.safetensors" in names
    assert "vidsr/models/vidsr_x4_fidelity.md" in names
    assert "vidsr/models/LICENSE" in names
    about = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    for line in ("License: MIT (code); non-commercial", "License-File: LICENSE", "License-File: models/LICENSE"):
        assert line in about


def test_installed_elsewhere_it_enhances_a_film(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    film = tmp_path / "film.mp4"
    sample = ROOT / "tests/samples/portrait.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-i", sample, "-frames:v", "6", film], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, str(target / "bin/vidsr"), "enhance", str(film), "--scale", "2", "-q"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "film.enhanced.mp4").stat().st_size > 1000


def imports(path: Path) -> set[str]:
    """Names of all modules that a file imports anywhere."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_threads_and_processes_have_their_rooms() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        names = imports(path)
        # process.py drains what ffmpeg complains of; signals.py hears what the main thread is too busy for
        if name not in ("stream.py", "video/process.py", "cli/signals.py"):
            assert "threading" not in names, name
        if name not in ("video/process.py", "training/train.py"):  # the latter asks git for the commit
            assert "subprocess" not in names, name
        # system.py has Windows's named pipes from it; data/samples.py leaves its processes to PyTorch
        if name not in ("jobs/process_pool.py", "system.py"):
            assert not [one for one in names if one.startswith("multiprocessing")], name
        if name != "jobs/ray_cluster.py":
            assert not [one for one in names if one.split(".")[0] == "ray"], name
        assert "pickle" not in names, name
        if name != "networks/model_file.py":  # the one place that opens what torch.save wrote, and only tensors
            assert "torch.load(" not in path.read_text(), name
        if name != "networks/external.py":  # the one room for other projects' networks
            assert not names & {"spandrel", "spandrel_extra_arches"}, name
        assert not names & {"facexlib", "basicsr"}, name


def test_no_shell_is_ever_asked() -> None:
    for path in PACKAGE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if any(word.arg == "shell" for word in call.keywords)], path
        assert not [call for call in calls if ast.unparse(call.func) in ("os.system", "os.popen")], path


def test_only_the_command_line_prints() -> None:
    for path in PACKAGE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, path


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "print(sorted({'numpy', 'torch', 'cv2', 'click'} & set(sys.modules)))"
    code = f"import sys, vidsr, vidsr.config, vidsr.errors; {heavy}"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
