"""The second pass: frames and tracks -> the same frames with restored faces.

`pipeline.render` is the pass itself: crop -> restorer -> temporal -> blend.
`quality` measures how each face turned out."""
