"""Networks and their files: shipped, added by a user, of other projects, exported.

`model_file.open_model(name)` gives a model by its name or path; `store` tells which there are and loads nothing heavy.
`generator` is ours; `transfer` brings pictures to a device and back."""
