"""Where training faces come from: loaders of sharp faces, and what makes short films of them."""
