"""Ablations: what each choice of the method is worth, at the same budget and on the same data.

``python -m experiments.ablations run`` trains and judges every variant of ``variants.yaml``, each a list of changes to
``base.yaml``; ``python -m experiments.ablations table`` makes a table and a plot of what there is.
"""
