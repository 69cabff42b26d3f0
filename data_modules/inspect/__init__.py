"""Looking at a corpus: what is in it, how loud and how clean it is, and whether its splits are apart."""
