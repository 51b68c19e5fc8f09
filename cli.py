"""The front door of a checkout: `python cli.py enhance film.mp4`."""

from vidsr.cli.main import main

if __name__ == "__main__":
    main()
