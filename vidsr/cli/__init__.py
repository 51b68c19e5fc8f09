"""The command line: options, one call each, and all printing. Importing it loads click and nothing heavy.

`main.main` is the program. `options` are made from the settings' fields in `vidsr.config`.
A command has a function in `main`, `train`, `models` or `evaluate`."""
