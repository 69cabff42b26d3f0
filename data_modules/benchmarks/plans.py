"""Composition of the benchmark lists: number of pairs of each kind, and their noises."""

from __future__ import annotations

from dataclasses import dataclass

from data_modules.benchmarks.pairlist import SECONDS

# Sounds that go on: a short recording of one is repeated without a gap.
_STEADY = frozenset({
    "vacuum_cleaner", "washing_machine", "kettle", "jackhammer", "insects", "night_insects", "electric_hum",
    "engine", "machinery", "wind", "water", "rain", "helicopter", "siren", "alarm", "radio_static", "train",
})  # fmt: skip
_CROSS_STEADY = frozenset({
    "esc10_chainsaw", "esc10_clock_tick", "esc10_helicopter", "esc10_sea_waves", "blanket_coffee-shop",
    "cdda_cc_sounds_engine_working_external", "cdda_cc_sounds_environment_ambient",
    "cdda_cc_sounds_environment_weather", "cdda_cc_sounds_fire", "cdda_cc_sounds_humming", "cdda_cc_sounds_vehicle",
})  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How many pairs of each kind a list gets, and which noises stand for narrow-band trouble.

    Args:
        split: of the corpus.
        seed: of all choices.
        main: pairs in one noise at 16 kHz.
        several: pairs in two or three noises at once, at the two lowest ratios of ``loud``.
        narrow: pairs at 8 kHz, in ``narrow_noises``.
        wide: pairs at 48 kHz.
        clean: pairs without noise.
        narrow_noises: categories, or one recording as CATEGORY/part of its name.
        corpus: that recordings are taken from.
        snrs: ratios of ``main`` in dB, in turn; one that occurs twice is as often again.
        loud: ratios of ``several``; ``narrow`` takes the first four of ``snrs``.
        seconds: lengths, in turn.
        noises: categories of ``main``, in turn; one that occurs twice is as often again. Empty: all of the split.
        steady: categories that go on.
        range_db: least distance of a speech recording's loudest 20 ms from its quiet ones (5th percentile), so that
            no reference brings noise of its own.
        anywhere: long speech recordings start at any of their pauses, not at their beginning.
    """

    split: str
    seed: int
    main: int
    several: int
    narrow: int
    wide: int
    clean: int
    narrow_noises: tuple[str, ...]
    corpus: str = "debian-speech-noise"
    snrs: tuple[int, ...] = (-5, 0, 5, 10, 15)
    loud: tuple[int, ...] = (-5, 0)
    seconds: tuple[int, ...] = (SECONDS,)
    noises: tuple[str, ...] = ()
    steady: frozenset[str] = _STEADY
    range_db: float = 0.0
    anywhere: bool = False


_MOSTLY_MODERATE = (0, 5, 10, 15, -5, 5, 10, 0, 15, 20)
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
    "cross-test": Plan(
        "test", 20261129, 105, 10, 20, 0, 6,
        ("alarm_clock", "esc10_clock_tick", "esc10_chainsaw", "cdda_cc_sounds_engine_working_external",
         "cdda_cc_sounds_humming"),
        corpus="open-voices", snrs=_MOSTLY_MODERATE, loud=(0, 5), seconds=(3, 4, 5, 6, 8),
        # Weather has an hour's variety, humming two seconds: they count accordingly.
        noises=("cdda_cc_sounds_environment_weather", "esc10_sea_waves", "esc10_chainsaw",
                "cdda_cc_sounds_smash_success", "cdda_cc_sounds_environment_weather", "esc10_clock_tick",
                "cdda_cc_sounds_engine_working_external", "cdda_cc_sounds_environment_weather", "esc10_sea_waves",
                "cdda_cc_sounds_tool", "esc10_chainsaw", "cdda_cc_sounds_humming",
                "cdda_cc_sounds_environment_weather", "cdda_cc_sounds_fire", "cdda_cc_sounds_open_door"),
        steady=_CROSS_STEADY, range_db=38.0, anywhere=True,
    ),
    # Five seconds: DNSMOS hears them in one window, so that tuning is quick.
    "cross-valid": Plan(
        "valid", 20261130, 30, 2, 6, 0, 2,
        ("alarm_clock", "esc10_helicopter", "cdda_cc_sounds_vehicle"),
        corpus="open-voices", snrs=_MOSTLY_MODERATE, loud=(0, 5), seconds=(5,),
        noises=("esc10_helicopter", "esc10_dog_bark", "cdda_cc_sounds_environment_ambient",
                "blanket_coffee-shop", "cdda_cc_sounds_vehicle", "cdda_cc_sounds_environment_ambient",
                "cdda_cc_sounds_plmove"),
        steady=_CROSS_STEADY, range_db=38.0, anywhere=True,
    ),
}  # fmt: skip

_ABOUT = {
    "main": "one recorded noise, 16 kHz",
    "several_loud": "two or three different noises at once, {loud} dB in all, 16 kHz",
    "alarm_8k": "8 kHz sample rate, every other pair in the band of a telephone (300 to 3400 Hz), in sirens and "
    "alarms, a generated alarm clock, bells, vacuum cleaner and insects, as far as the split has them",
    "narrow_8k": "8 kHz sample rate, every other pair in the band of a telephone (300 to 3400 Hz), in a generated "
    "alarm clock, clocks, motors and hums, as far as the split has them",
    "noise_48k": "48 kHz sample rate: speech up to 8 kHz, noise up to 24 kHz made of a recording at its own speed "
    "and, as loud, the same at three times the speed (the corpus has nothing above 8 kHz)",
    "clean": "no noise: noisy and clean are the same file",
}


def subsets(plan: Plan) -> dict[str, str]:
    """Names of a plan's subsets, each with what it is about."""
    about = dict(_ABOUT)
    if plan.corpus == "debian-speech-noise":
        about["main"] = "one recorded noise, every category and speaker of the split, 16 kHz"
        del about["narrow_8k"]
    else:
        del about["alarm_8k"]
    if not plan.wide:
        del about["noise_48k"]
    about["several_loud"] = about["several_loud"].format(loud=" or ".join(map(str, plan.loud)))
    ratios = {f"snr{snr}": f"those of main at {snr} dB" for snr in sorted(set(plan.snrs))}
    return {"main": about.pop("main"), **ratios, **about}
