"""Where training faces come from: loaders of sharp faces, and what makes short films of them.

`sources` finds out what a path holds; `samples` gives batches.
`degradation` and `occlusion` are what happens to a face on the way to the network."""
