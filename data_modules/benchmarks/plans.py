"""What the lists are made up of: how many pairs of each kind, in which noises."""

from __future__ import annotations

from dataclasses import dataclass

SNRS = (-5, 0, 5, 10, 15)
# Sounds that go on: a short recording of one is repeated without a gap.
STEADY = {
    "vacuum_cleaner", "washing_machine", "kettle", "jackhammer", "insects", "night_insects", "electric_hum",
    "engine", "machinery", "wind", "water", "rain", "helicopter", "siren", "alarm", "radio_static", "train",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How many pairs of each kind a list gets, and which noises stand for narrow-band trouble."""

    split: str
    seed: int
    main: int
    several: int
    narrow: int
    wide: int
    clean: int
    narrow_noises: tuple[str, ...]  # categories, or one recording as CATEGORY/part of its name


PLANS = {
    "dsn-test": Plan(
        "test", 20240613, 160, 16, 20, 16, 9,
        ("alarm_clock", "siren", "bell/level_crossing", "bell/chapel", "bell/ships_bell", "vacuum_cleaner",
         "insects/bee", "insects/hornet", "insects/mosquito", "night_insects"),
    ),
    "dsn-valid": Plan(
        "valid", 20240614, 40, 6, 8, 4, 4,
        ("alarm_clock", "alarm", "bell", "night_insects"),
    ),
}  # fmt: skip
SUBSETS = {
    "main": "one recorded noise, every category and speaker of the split, 16 kHz",
    **{f"snr{snr}": f"those of main at {snr} dB" for snr in SNRS},
    "several_loud": "two or three different noises at once, -5 or 0 dB in all, 16 kHz",
    "alarm_8k": "8 kHz sample rate, every other pair in the band of a telephone (300 to 3400 Hz), in sirens and "
    "alarms, a generated alarm clock, bells, vacuum cleaner and insects, as far as the split has them",
    "noise_48k": "48 kHz sample rate: speech up to 8 kHz, noise up to 24 kHz made of a recording at its own speed "
    "and, as loud, the same at three times the speed (the corpus has nothing above 8 kHz)",
    "clean": "no noise: noisy and clean are the same file",
}
