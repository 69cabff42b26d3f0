"""Corpus recipes, one module each: they turn public packages into the corpus layout.

Layout: `<root>/<corpus>/{train,valid,test}/{speech,noise}/<speaker or category>/*.flac` and a `manifest.csv`.
"""
