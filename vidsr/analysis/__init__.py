"""The first pass: frames -> tracks of faces with their shots, smoothed and aligned.

`analyze.analyze` is the pass itself, `tracks_file` keeps what it found.
The rest is one step each: cuts, detector, region of interest, optical flow, linking, smoothing, alignment."""
