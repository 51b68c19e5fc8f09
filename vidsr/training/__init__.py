"""Training of our networks: one loop that saves often and goes on where it stopped.

`train.train` is the loop; `losses` are what it makes smaller.
`checkpoint` is what it keeps between steps, `training_log` its curves and pictures."""
