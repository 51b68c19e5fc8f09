"""How good a model is: on sharp stills by the protocol of papers, and on film through the whole pipeline.

`metrics` are the measures, `stills` and `videos` the two protocols.
`motion` and `native` each look at one property."""
