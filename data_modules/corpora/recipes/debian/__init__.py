"""The parts of the debian-speech-noise recipe: pins, labels, unpacking and clip cleaning."""
