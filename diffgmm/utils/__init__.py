"""Tools that know nothing of audio or models: files, processes, random numbers, errors, provenance."""
