"""`python -m vidsr` is `vidsr`."""

from vidsr.cli.main import main

main()
