"""Experiments: one YAML file each for `diffgmm fit --config`, and the demo that `make demo` runs."""
