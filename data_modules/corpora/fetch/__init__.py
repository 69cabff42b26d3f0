"""Sources of corpora: downloads that resume, checksums, archives and programs."""
