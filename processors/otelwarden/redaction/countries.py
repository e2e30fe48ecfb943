"""Countries as keys name them: a key that says `de_tax_id` is about no American number."""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    "ar": "argentina",
    "at": "austria austrian",
    "au": "australia australian",
    "be": "belgium belgian",
    "bg": "bulgaria bulgarian",
    "br": "brazil brazilian",
    "ca": "canada canadian",
    "ch": "switzerland swiss",
    "cl": "chile chilean",
    "cn": "china chinese",
    "co": "colombia colombian",
    "cy": "cyprus cypriot",
    "cz": "czech czechia",
    "de": "germany german",
    "dk": "denmark danish",
    "ee": "estonia estonian",
    "es": "spain spanish",
    "fi": "finland finnish",
    "fr": "france french",
    "gb": "uk britain british england",
    "gr": "greece greek",
    "hk": "hongkong",
    "hr": "croatia croatian",
    "hu": "hungary hungarian",
    "id": "indonesia indonesian",
    "ie": "ireland irish",
    "il": "israel israeli",
    "in": "india indian",
    "it": "italy italian",
    "jp": "japan japanese",
    "kr": "korea korean",
    "lt": "lithuania lithuanian",
    "lu": "luxembourg luxembourgish",
    "lv": "latvia latvian",
    "mt": "malta maltese",
    "mx": "mexico mexican",
    "my": "malaysia malaysian",
    "ng": "nigeria nigerian",
    "nl": "netherlands dutch",
    "no": "norway norwegian",
    "nz": "zealand",
    "ph": "philippines philippine filipino",
    "pl": "poland polish",
    "pt": "portugal portuguese",
    "ro": "romania romanian",
    "se": "sweden swedish",
    "sg": "singapore singaporean",
    "si": "slovenia slovenian",
    "sk": "slovakia slovak",
    "th": "thailand thai",
    "tr": "turkey turkish turkiye",
    "tw": "taiwan taiwanese",
    "ua": "ukraine ukrainian",
    "us": "usa america american",
    "za": "southafrica africa african",
}


def country_pattern(code: str) -> str:
    """What a key says, as `words_of_key` gives it, that is about a country: its code or one of its names.

    Args:
        code: ISO 3166-1 alpha-2, in lower case.
    """
    names = "|".join((code, *_NAMES.get(code, "").split()))
    return f"(?:^|_)(?:{names})(?:_|$)"
