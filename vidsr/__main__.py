"""`python -m vidsr` is `vidsr`."""

from vidsr.commands import main

main()
