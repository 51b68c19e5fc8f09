"""How large the house is: `python -m tests.bench.house` prints lines, modules at the top, circles, words of README."""

from __future__ import annotations

from tests.test_house import PACKAGE, circles, modules


def main() -> None:
    """Print a line for each."""
    paths = modules().values()
    sizes = {path: len(path.read_text().splitlines()) for path in paths}
    largest = max(sizes, key=lambda path: sizes[path])
    print(f"lines in vidsr/          {sum(sizes.values())} in {len(sizes)} files")
    print(f"longest file             {largest.relative_to(PACKAGE)}, {sizes[largest]}")
    print(f"modules at the top       {len([path for path in PACKAGE.glob('*.py') if not path.stem.startswith('__')])}")
    print(f"circles                  {len(circles())}")
    print(f"words of README          {len((PACKAGE.parent / 'README.md').read_text().split())}")


if __name__ == "__main__":
    main()
