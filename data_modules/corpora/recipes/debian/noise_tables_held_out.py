"""Meaning of the file names in the packages whose noise is for validation and test."""

from __future__ import annotations

from data_modules.corpora.recipes.debian.noise_tables_train import Rules

__all__ = ["HELD_OUT_RULES"]

_FLIGHTGEAR: Rules = [
    (r"(mk-viii|tcas|checklist|flarm|vario|intro|beep|coughing|/sounds/wasp)", None),
    (r"sounds/rain", "rain"),
    (r"sounds/thunder", "thunder"),
    (r"sounds/wind", "wind"),
    (r"sounds/wave", "waves"),
    (r"sounds/water", "water"),
    (r"sounds/(door|window|glove_comp)", "door"),
    (r"sounds/(click|double-click|key|lever|primer|scroll|control_lock|flaps-click|trim)", "click"),
    (r"sounds/(tires|squeal|rattleroll|rumble|scratch)", "tyres"),
    (r"sounds/(crash|damage|repair|gear-lck|gear|gps_to)", "metal_clatter"),
    (r"sounds/(helicopter|rotor|blade_vortex)", "helicopter"),
    (r"sounds/(jet|turb|turbo|whine|fan|avionics|gyro)", "turbine"),
    (r"sounds/(stall|overspeed)", "alarm"),
    (r"sounds/(radionoise)", "radio_static"),
    (r"sounds/(gatling)", "gunshot"),
    (r"sounds/(engine|engstart|cranking|exhaust|p51d|prop|r-1535|starter|flaps|rudder-trim)", "engine"),
]

_WIDELANDS: Rules = [
    (r"data/music|/click|message|lobby|military|create_construction|under_attack", None),
    (r"tree_falling|fisher_pull_net|horse_00", None),  # recordings that packages of test and train have too
    (r"(bird\d|duck)", "birds"),
    (r"(crickets)", "night_insects"),
    (r"sound/animals/frog", "frog"),
    (r"sound/animals/", "wild_animals"),
    (r"sound/farm/scythe", "scythe"),
    (r"sound/farm/", "farm_animals"),
    (r"(sawing|benchsaw|sawmill)", "saw"),
    (r"(taverns/)", "tavern"),
    (r"beerbubble|winebubble", "bubbles"),
    (r"fisher_", "splash"),
    (r"(hammering|smiths|sharpening|ping|geologist)", "hammer"),
    (r"metal/(furnace|fizzle)", "fire"),
    (r"(mill_turning|weav|goldspin|mortar|stonegrind|blackwood)", "machinery"),
    (r"(stonecut|stonemason|cutting/stone)", "stone_cutting"),
    (r"woodcutting", "axe"),
    (r"falling_tools", "metal_clatter"),
]

_UFOAI: Rules = [
    (r"sound/(aliens|civilians|soldiers|geoscape|ui)/|alien|ufo", None),
    (r"tv_news|radiomessage|disco|jingle|droning", None),
    (r"lobbypriv|popup|roundstart|misc/talk|(plasma|laser|psi|ptl|gauss|irgoggles|medikit|hover)", None),
    (r"ambience/.*(wind_turbine)", "windmill"),
    (r"ambience/.*wind", "wind"),
    (r"ambience/cricket", "night_insects"),
    (r"ambience/.*fire", "fire"),
    (r"ambience/thunder", "thunder"),
    (r"ambience/(water|waterfontain)", "water"),
    (r"ambience/(hum|lights|sparks)|misc/electro|breakelectric", "electric_hum"),
    (r"ambience/(machine|minepump|steam)", "machinery"),
    (r"ambience/(creak|bloodspiderwalk)|doors/", "door"),
    (r"ambience/(tv_static)", "radio_static"),
    (r"ambience/(sand-city|city)", "city"),
    (r"footsteps/", "footsteps"),
    (r"breakglass", "glass"),
    (r"break(metal|wood)|impact/", "impact"),
    (r"humanflyby", "aircraft"),
    (r"sword-|melee", "swish"),
    (r"ugv/diesel", "engine"),
    (r"weapons/(explosion|grenade|rocket)", "explosion"),
    (r"weapons/flamer", "fire"),
    (r"weapons/reload", "click"),
    (r"weapons/bullet|cannon-fire|combat-gun", "gunshot"),
]

_OPENARENA: Rules = [
    (r"world/(fan|machinerydrone|tim_machine|tim_pump|neonhum|monitor)", "machinery"),
    (r"world/(fire)", "fire"),
    (r"world/(drops)", "dripping"),
    (r"world/(waterfall|curnt2)", "water"),
    (r"world/(wind\d)", "wind"),
    (r"movers/", "door"),
]

_UNKNOWN_HORIZONS: Rules = [
    (r"/(music|voice|events)/|click|flippage|invalid|refresh|success|/build\.", None),
    (r"sounds/(chapel|ships_bell)", "bell"),
    (r"sounds/lumberjack", "axe"),
    (r"sounds/(main_square|tavern)", "tavern"),
    (r"sounds/sheepfield", "farm_animals"),
    (r"sounds/smith", "hammer"),
    (r"sounds/stonemason", "stone_cutting"),
    (r"sounds/(warehouse)", "construction"),
    (r"sounds/windmill", "windmill"),
]

_TUXPAINT: Rules = [
    (r"_desc|_[a-z]{2}(_[a-z]{2})?\.ogg", None),
    (r"/(symbols|seasonal/(halloween|christmas|hanukkah)|hobbies/music|space|town|military)/", None),
    (r"animals/birds", "birds"),
    (r"animals/insects", "insects"),
    (r"animals/amphibians", "frog"),
    (r"(bovines|equines|pig|camel)", "farm_animals"),
    (r"(dogs|rodents|ferret)", "pets"),
    (r"animals/", "wild_animals"),
    (r"washing-machine", "washing_machine"),
    (r"vacuum", "vacuum_cleaner"),
    (r"kettle", "kettle"),
    (r"toilet", "water"),
    (r"household/dishes", "glass"),
    (r"tools/(hammer|mallet)", "hammer"),
    (r"tools/saw", "saw"),
    (r"(scissors|camera_35)", "click"),
    (r"apple_red|rubberduck", "household"),
    (r"lightningbolt", "thunder"),
    (r"fireworks", "fireworks"),
    (r"firetruck", "siren"),
]

_OPENSFX: Rules = [
    (r"toyland|year|unused|beep|morse|oooh|splat|cash", None),
    (r"factory whistle", "whistle"),
    (r"(ship|ferry) horn|car horn", "horn"),
    (r"level crossing", "bell"),
    (r"breakdown|crash\.|crash$", "metal_clatter"),
    (r"tree", "axe"),
    (r"steam|train|tunnel", "train"),
    (r"plane wheels", "tyres"),
    (r"plane|jet", "aircraft"),
    (r"helicopter", "helicopter"),
    (r"mining", "machinery"),
    (r"electric sparking", "electric_hum"),
    (r"explosion", "explosion"),
    (r"truck|bus", "traffic"),
    (r"applause", "applause"),
    (r"jackhammer", "jackhammer"),
    (r"sheep|cow|horse", "farm_animals"),
    (r"bridge", "hammer"),
    (r"sawmill|chainsaw", "saw"),
    (r"wind", "wind"),
    (r"bird", "birds"),
    (r"lion|monkeys", "wild_animals"),
]

HELD_OUT_RULES: dict[str, Rules] = {
    "flightgear-data-base": _FLIGHTGEAR,
    "widelands-data": _WIDELANDS,
    "gnome-shell-pomodoro-data": [(r"bell\.", "bell"), (r"birds", "birds"), (r"clock|timer", "clock")],
    "ambience": [(r"rainforest", "nature"), (r"train", "train")],
    "ufoai-sound": _UFOAI,
    "openttd-opensfx": _OPENSFX,
    "unknown-horizons": _UNKNOWN_HORIZONS,
    "tuxpaint-stamps-default": _TUXPAINT,
    "openarena-data": _OPENARENA,
    "onsen": [(r"water", "water")],
}
