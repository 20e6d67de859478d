"""Texts for the strings of a JSON schema: readable words, and the formats that schemas name."""

from __future__ import annotations

import random

_WORDS = (  # noqa: SIM905 - as text it can be read
    "answer boiler budget client coffee device engine garden invoice ladder market meter number office order parcel "
    "planet policy record report river sensor signal station street supply ticket travel valley weather winter"
).split()


def words(choose: random.Random, least: int, most: int) -> str:
    """One to three words, or as many as make `least` characters; cut at `most`."""
    text = " ".join(choose.choices(_WORDS, k=choose.randint(1, 3)))
    while len(text) < least:
        text += " " + choose.choice(_WORDS)
    return text[:most]


def of_format(name: str, choose: random.Random) -> str | None:
    """A text of one of JSON schema's formats; None for a format that is not known. Addresses are of documentation."""
    word = choose.choice(_WORDS)
    match name:
        case "date":
            return _date(choose)
        case "time":
            return _time(choose)
        case "date-time":
            return f"{_date(choose)}T{_time(choose)}"
        case "uuid":
            return _uuid(choose)
    made = {
        "duration": f"PT{choose.randint(1, 59)}M",
        "email": f"{word}@example.com",
        "hostname": f"{word}.example.com",
        "ipv4": f"192.0.2.{choose.randint(1, 254)}",
        "ipv6": f"2001:db8::{choose.randint(1, 9999)}",
        "uri": f"https://example.com/{word}",
        "uri-reference": f"/{word}",
        "url": f"https://example.com/{word}",
    }
    return made.get(name)


def _date(choose: random.Random) -> str:
    return f"{choose.randint(2020, 2029)}-{choose.randint(1, 12):02}-{choose.randint(1, 28):02}"


def _time(choose: random.Random) -> str:
    return f"{choose.randint(0, 23):02}:{choose.randint(0, 59):02}:{choose.randint(0, 59):02}Z"


def _uuid(choose: random.Random) -> str:
    digits = f"{choose.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
