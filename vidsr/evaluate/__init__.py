"""How good a model is: on sharp stills by the protocol of papers, and on film through the whole pipeline."""
